"""A sweep, from a space to the registered winner. Read this first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import mlflow
import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text

from pipelines import metric_names, store, store_errors
from pipelines import run as training
from pipelines.config import Config
from pipelines.errors import TrainingError
from pipelines.progress import console, stage
from pipelines.sweep import parent
from pipelines.sweep import study as studies
from pipelines.sweep.options import Sweep
from pipelines.sweep.study import Opened
from pipelines.sweep.trial import FAILURE, RUN, Loaded, Objective

# Rows of the table of the best trials.
_SHOWN = 5
_BEST = "trial"


@dataclass(frozen=True)
class Winner:
    """The training of the best trial's options.

    Attributes:
        config: Its config.
        result: What it came to.
    """

    config: Config
    result: training.Result


def run(sweep: Sweep) -> Winner | None:
    """Runs the trials that are left of a sweep, and trains and registers the best of all.

    Several processes may do so at the same time, here and on other machines: the one that ends the
    last trial trains the winner.

    Args:
        sweep: The sweep.

    Returns:
        The winner; None if another process runs a trial, or has trained the winner.

    Raises:
        UserError: An option that all trials share, the database or the tracking store cannot be
            used.
        TrainingError: No trial was completed.
    """
    config = sweep.config({})
    recipe = config.recipe
    with stage("data"):
        store.open_store()
        task, data = training.load(sweep.pipeline, config)
    opened = studies.open_study(
        sweep,
        greater_is_better=task.greater_is_better,
        seed=recipe.seed,
        epochs=sweep.options.trial_epochs or recipe.epochs,
    )
    score = metric_names.score("validation", task.metric)
    with parent.parent_run(sweep, opened, config) as run_id:
        console.print(
            f"sweep {sweep.name} in {opened.place}: {sweep.trials} trials, "
            f"{len(sweep.space)} options, run runs:/{run_id}",
            soft_wrap=True,
        )
        train, study = Objective(sweep, Loaded(config, data)), opened.study

        def objective(trial: optuna.Trial) -> float:
            parent.hold(run_id)
            return train(trial)

        studies.run_trials(opened, sweep.trials, objective, _report(sweep, score))
        if not _completed(study):
            raise TrainingError(f"no trial of {sweep.name} was completed{_last_failure(study)}")
        with store_errors.patient():
            parent.log_trials(study, sweep.space, score)
        _show(study, sweep, score)
        if others := studies.running(study):
            console.print(
                f"{len(others)} of the trials run in other processes; the last one to end trains "
                "the winner",
                soft_wrap=True,
            )
            return None
        del task, data
        return _train_winner(sweep, opened, run_id)


def _report(sweep: Sweep, score: str) -> Any:
    """Returns a callback that shows how a trial ended, and logs the best score so far."""

    def report(study: optuna.Study, trial: FrozenTrial) -> None:
        name = metric_names.words(score)
        options = _text(studies.values(trial.params, sweep.space))
        if trial.state == TrialState.COMPLETE:
            best = study.best_trial
            comparison = (
                "the best so far"
                if best.number == trial.number
                else (f"best {best.value:.4f} of trial {best.number}")
            )
            outcome = f"{name} {trial.value:.4f}, {comparison}"
        elif trial.state == TrialState.PRUNED:
            failure = trial.user_attrs.get(FAILURE)
            outcome = failure or f"pruned after epoch {len(trial.intermediate_values)}"
        else:
            return
        console.print(Text(f"  trial {trial.number}: {outcome}  ({options})"), soft_wrap=True)
        parent.log_best(study, trial.number, score)

    return report


def _train_winner(sweep: Sweep, opened: Opened, run_id: str) -> Winner | None:
    """Trains with the options of the best trial, unless another process does or has done so."""
    best = opened.study.best_trial
    winners = studies.winners(opened)
    studies.give_up_killed(winners)
    for earlier in winners.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if earlier.user_attrs.get(_BEST) == best.number:
            known = earlier.user_attrs[RUN]
            console.print(f"the winner, trial {best.number}, is trained already: runs:/{known}")
            return None
    values = studies.values(best.params, sweep.space)
    config = sweep.config(values)
    config = replace(
        config,
        run_name=config.run_name or f"{sweep.name}, winner",
        tag=[*config.tag, f"sweep={sweep.name}", f"sweep.trial={best.number}"],
    )
    trained: list[training.Result] = []

    def train(trial: optuna.Trial) -> float:
        studies.begin(trial)
        if any(other.number < trial.number for other in studies.running(winners)):
            raise optuna.TrialPruned
        console.print(Text(f"winner: trial {best.number}, {_text(values)}"), soft_wrap=True)
        trained.append(training.run(sweep.pipeline, config))
        trial.set_user_attr(_BEST, best.number)
        trial.set_user_attr(RUN, trained[0].run.id)
        return 0.0

    winners.optimize(train, n_trials=1)
    if not trained:
        console.print("another process trains the winner")
        return None
    result = trained[0]
    with store_errors.patient():
        mlflow.set_tags({"sweep.best_trial": best.number, "sweep.winner": result.run.id})
    return Winner(config, result)


def _show(study: optuna.Study, sweep: Sweep, score: str) -> None:
    """Prints the best trials, and how all of them ended."""
    maximizes = study.direction == optuna.study.StudyDirection.MAXIMIZE
    completed = sorted(_completed(study), key=lambda one: one.value or 0.0, reverse=maximizes)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("trial", justify="right")
    table.add_column(metric_names.words(score), justify="right")
    table.add_column("options", overflow="fold")
    for trial in completed[:_SHOWN]:
        options = _text(studies.values(trial.params, sweep.space))
        table.add_row(str(trial.number), f"{trial.value:.4f}", Text(options))
    console.print(table)
    ended = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    failed = sum(FAILURE in trial.user_attrs for trial in ended)
    counts = {"completed": len(completed), "pruned": len(ended) - failed, "failed": failed}
    shown = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    console.print(f"{len(completed) + len(ended)} trials: {shown}")


def _completed(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _last_failure(study: optuna.Study) -> str:
    reasons = [trial.user_attrs[FAILURE] for trial in study.trials if FAILURE in trial.user_attrs]
    return f"; the last one: {reasons[-1]}" if reasons else ""


def _text(values: Mapping[str, Any]) -> str:
    """Returns options as "batch_size 32, model.dropout 0.3"."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
