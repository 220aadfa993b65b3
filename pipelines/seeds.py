"""Several seeds: one run for each, the means of their scores, and the network that stands for them.

How a network turns out depends on its initialization and on the order of its batches. The mean over
seeds says more about a recipe than its luckiest seed (Bouthillier et al., "Accounting for Variance
in Machine Learning Benchmarks", 2021).
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines import evaluation, metric_names, style, tracking
from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.evaluation import Evaluation
from pipelines.progress import console
from pipelines.style import styled
from pipelines.task import Network, Task
from pipelines.training import strategies, trainer

_WEIGHTS = "weights_{}.npz"


@dataclass(frozen=True)
class SeedRun:
    """The run of one seed.

    Attributes:
        seed: Its seed.
        evaluated: The scores of its network.
        history: Values per epoch by name, as `keras.callbacks.History.history`.
    """

    seed: int
    evaluated: Evaluation
    history: Mapping[str, Sequence[float]]


def train(
    pipeline: str, config: Config, task: Task, data: Dataset, tracked: tracking.TrackedRun
) -> tuple[Network, Evaluation]:
    """Trains and evaluates a network for each seed, in runs within the active one.

    Args:
        pipeline: Name of the pipeline.
        config: The config of the active run; `seeds` of them count, from `seed` on.
        task: The task of `config`.
        data: The data set, the same one for all.
        tracked: The active run, which gets a figure, and a tag that names the seed of the network.

    Returns:
        The network whose score on validation is the median one, of two the worse, and the means of
        the scores with their deviations.
    """
    recipe = config.recipe
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(recipe.seed, recipe.seed + recipe.seeds):
            own = replace(
                config,
                run_name=config.run_name and f"{config.run_name}, seed {seed}",
                recipe=replace(recipe, seed=seed, seeds=1),
            )
            seeded = _of(task, own)
            with tracking.run(pipeline, own, parent=tracked) as child:
                child.strongest = tracked.strongest
                network = trainer.build(seeded, data)
                child.model(network, device=strategies.device(own))
                history = keras.callbacks.History()
                network = trainer.fit(
                    seeded,
                    network,
                    data,
                    child,
                    child.checkpoints,
                    title=f"seed {seed}",
                    watchers=[history],
                )
                evaluated = evaluation.evaluate(seeded, network.model, data)
                child.evaluation(evaluated.scores)
                child.comparable(evaluation.comparable(seeded, data, evaluated))
            runs.append(SeedRun(seed, evaluated, history.history))
            # Networks of all seeds at once might not fit on the device.
            np.savez(Path(scratch, _WEIGHTS.format(seed)), *network.model.get_weights())
            del network
            keras.backend.clear_session()
            gc.collect()
        chosen = median(runs, task.metric, task.greater_is_better)
        network = trainer.untrained(_of(task, config), data)
        with np.load(Path(scratch, _WEIGHTS.format(chosen.seed))) as weights:
            network.model.set_weights([weights[name] for name in weights.files])
    mean = merged([run.evaluated for run in runs], chosen.evaluated)
    tracked.tags({"seed.registered": str(chosen.seed)})
    if config.figures:
        tracked.figure("seeds", figure(runs, mean, chosen.seed))
    name = metric_names.score("validation", task.metric)
    console.print(
        f"{len(runs)} seeds: {metric_names.words(name)} {mean.scores[name]:.4f} ± "
        f"{mean.deviations[name]:.4f}; the network of seed {chosen.seed}, the median, stands for "
        "them",
        soft_wrap=True,
    )
    return network, mean


def _of(task: Task, config: Config) -> Task:
    """Returns the task with the recipe of a config, and the same teacher."""
    return type(task)(replace(task.config, recipe=config.recipe), task.teacher)


def median(runs: Sequence[SeedRun], metric: str, greater_is_better: bool) -> SeedRun:
    """Returns the run with the median score on validation; of two, the worse one."""
    ordered = sorted(
        runs,
        key=lambda run: run.evaluated.scores[metric_names.score("validation", metric)],
        reverse=not greater_is_better,
    )
    return ordered[(len(ordered) - 1) // 2]


def merged(evaluations: Sequence[Evaluation], chosen: Evaluation) -> Evaluation:
    """Returns the means of scores over seeds, with their deviations.

    Intervals cover both the examples that a split happens to hold and the seeds: each resample
    draws examples, and then seeds among the networks (Davison & Hinkley, "Bootstrap Methods and
    their Application", 1997, section 3.8).

    Args:
        evaluations: Those of all seeds, on the same resamples.
        chosen: That of the network which stands for them; its predictions are kept.
    """
    values = {name: np.array([each.scores[name] for each in evaluations]) for name in chosen.scores}
    by_seed = [each.resampled_test for each in evaluations]
    tests = {
        name: _mean_of_drawn(np.array([[sample[name] for sample in seed] for seed in by_seed]))
        for name in chosen.resampled_test[0]
    }
    resampled_test = [
        dict(zip(tests, sample, strict=True)) for sample in zip(*tests.values(), strict=True)
    ]
    resampled = _mean_of_drawn(np.array([each.resampled for each in evaluations]))
    return Evaluation(
        scores={name: float(value.mean()) for name, value in values.items()},
        intervals=evaluation.intervals_of(resampled_test),
        test=chosen.test,
        reduced=chosen.reduced,
        resampled=resampled,
        resampled_test=resampled_test,
        deviations={name: float(value.std(ddof=1)) for name, value in values.items()},
    )


def _mean_of_drawn(scores: np.ndarray) -> list[float]:
    """Returns, for each resample, the mean over as many seeds, drawn with replacement.

    Args:
        scores: float [seeds, resamples].
    """
    # The same draws for all scores and runs, as for the resamples of examples.
    drawn = np.random.default_rng(0).integers(0, len(scores), scores.shape)
    return np.take_along_axis(scores, drawn, axis=0).mean(0).tolist()


@styled
def figure(runs: Sequence[SeedRun], mean: Evaluation, chosen: int) -> Figure:
    """Plots the validation loss of each seed over epochs, and the spread of each score.

    Args:
        runs: Those of all seeds.
        mean: What `merged` returns for them.
        chosen: The seed of the network that stands for them.
    """
    names = metric_names.scores("test", mean.scores)
    columns = min(len(names) + 1, 4)
    rows = -(-(len(names) + 1) // columns)
    drawn = Figure(figsize=(3.6 * columns, 3.4 * rows), layout="constrained")
    panels = iter(drawn.subplots(rows, columns, squeeze=False).flat)
    _curves(next(panels), runs, chosen)
    for axes, name in zip(panels, names, strict=False):
        _spread(axes, runs, mean, name, chosen)
    for axes in drawn.axes[len(names) + 1 :]:
        axes.set_axis_off()
    text = f"{len(runs)} seeds; orange: seed {chosen}, whose network is registered; black: spread"
    style.title(drawn, text)
    return drawn


def _curves(axes: Axes, runs: Sequence[SeedRun], chosen: int) -> None:
    for run in runs:
        losses = run.history["val_loss"]
        marker = "o" if len(losses) == 1 else None
        how = _style(run.seed == chosen)
        axes.plot(range(1, len(losses) + 1), losses, marker=marker, **how)
    axes.set(title=style.directed("validation loss", False), xlabel="epoch")
    style.whole_numbers(axes.xaxis)
    axes.grid()


def _spread(axes: Axes, runs: Sequence[SeedRun], mean: Evaluation, name: str, chosen: int) -> None:
    splits = ("validation", "test")
    for place, split in enumerate(splits):
        key = metric_names.score(split, name)
        center, deviation = mean.scores[key], mean.deviations[key]
        axes.errorbar(place + 0.12, center, deviation, fmt="_", color=style.TRUTH, capsize=5)
        for run in runs:
            how = _style(run.seed == chosen)
            axes.plot(place - 0.12, run.evaluated.scores[key], marker="o", **how)
    axes.set(title=style.shortened(name.replace("_", " "), 3, 10), xlim=(-0.6, 1.6))
    axes.set_xticks(range(len(splits)), splits)
    axes.grid(axis="y")


def _style(chosen: bool) -> dict[str, Any]:
    """Returns how the seed of the registered network is drawn, above the others."""
    if chosen:
        return {"color": style.BASELINE, "zorder": 3}
    return {"color": style.NETWORK, "alpha": 0.6}
