"""A trial of a sweep: training with some options, and the score on validation.

Nothing is exported or registered, and test is not looked at.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import optuna
import tensorflow as tf

from pipelines import evaluation, metric_names, run, tracking
from pipelines.config import Config, check
from pipelines.datasets.dataset import Dataset
from pipelines.errors import TrainingError, UserError
from pipelines.recipe import Recipe
from pipelines.sweep import study as studies
from pipelines.sweep.options import Sweep
from pipelines.training import strategies, trainer
from pipelines.training.monitor import monitor

# What a trial records in the study, beside its values.
RUN, FAILURE = "run", "failure"
# What ends a trial; the sweep goes on.
STATE = "sweep.state"


@dataclass(frozen=True)
class Loaded:
    """A data set, and the config that it was loaded with."""

    config: Config
    data: Dataset

    def fits(self, config: Config) -> bool:
        """Returns whether another config loads the same data."""
        return _of_data(self.config) == _of_data(config)


def _of_data(config: Config) -> Config:
    """Returns a config without what `Task.load` does not depend on."""
    recipe = Recipe(seed=config.recipe.seed)
    return replace(config, model={}, recipe=recipe, run_name="", tag=[], figures=False)


class Objective:
    """The score of a trial, which Optuna optimizes."""

    def __init__(self, sweep: Sweep, loaded: Loaded) -> None:
        self._sweep, self._loaded = sweep, loaded

    def __call__(self, trial: optuna.Trial) -> float:
        """Trains with the options that a trial suggests.

        Raises:
            optuna.TrialPruned: The trial ended early, as it was worse than others, or its options
                cannot be used together.
        """
        values = studies.suggest(trial, self._sweep.space)
        try:
            config = trial_config(self._sweep, values, trial.number)
            check(config)
            return self._train(trial, config)
        except (UserError, TrainingError, tf.errors.ResourceExhaustedError) as error:
            reason = str(error).partition("\n")[0]
            if isinstance(error, tf.errors.ResourceExhaustedError):
                reason = "the device has not enough memory"
            trial.set_user_attr(FAILURE, reason)
            raise optuna.TrialPruned(reason) from error
        finally:
            # The next one starts with free memory.
            keras.backend.clear_session()
            gc.collect()

    def _train(self, trial: optuna.Trial, config: Config) -> float:
        with tracking.run(self._sweep.pipeline, config) as tracked:
            trial.set_user_attr(RUN, tracked.id)
            if self._loaded.fits(config):
                task, data = run.make_task(self._sweep.pipeline, config), self._loaded.data
            else:
                task, data = run.load(self._sweep.pipeline, config)
                self._loaded = Loaded(config, data)
            network = trainer.build(task, data)
            tracked.model(network, device=strategies.device(config))
            watched = monitor(task, data)
            sign = 1 if watched.greater_is_better == task.greater_is_better else -1
            report = Report(trial, watched.name, sign=sign, epochs=config.recipe.epochs)
            try:
                network = trainer.fit(
                    task, network, data, tracked, title=f"trial {trial.number}", watchers=[report]
                )
            except optuna.TrialPruned as error:
                tracked.tags({STATE: "pruned"})
                pruned = error
            else:
                scores = evaluation.score(task, network.model, data, "validation")
                tracked.evaluation(
                    {metric_names.score("validation", name): x for name, x in scores.items()}
                )
                if not math.isfinite(scores[task.metric]):
                    raise TrainingError(f"the validation {task.metric} is {scores[task.metric]}")
                tracked.tags({STATE: "complete"})
                return scores[task.metric]
        raise pruned


def trial_config(sweep: Sweep, values: Mapping[str, Any], number: int) -> Config:
    """Returns the config of a trial: the options of the sweep with the values of the trial."""
    config = sweep.config(values)
    recipe = config.recipe
    return replace(
        config,
        figures=False,
        diagnose=False,
        run_name=f"{sweep.name}, trial {number}",
        tag=[*config.tag, f"sweep={sweep.name}", f"sweep.trial={number}"],
        recipe=replace(recipe, seeds=1, epochs=sweep.options.trial_epochs or recipe.epochs),
    )


class Report(keras.callbacks.Callback):
    """Reports the monitored value after each epoch, and ends a hopeless trial."""

    def __init__(self, trial: optuna.Trial, name: str, *, sign: int, epochs: int) -> None:
        """Takes the value's name, and the sign with which the study's direction is the better."""
        super().__init__()
        self._trial, self._name, self._sign, self._epochs = trial, name, sign, epochs

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        value = float((logs or {})[self._name])
        if not math.isfinite(value):
            return
        self._trial.report(self._sign * value, epoch + 1)
        if epoch + 1 < self._epochs and self._trial.should_prune():
            raise optuna.TrialPruned(f"pruned after epoch {epoch + 1}")
