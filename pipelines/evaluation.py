"""Evaluation: predictions for a split, their scores, and the confidence intervals of these."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines import metric_names
from pipelines.baselines import Baseline
from pipelines.datasets.dataset import Dataset
from pipelines.intervals import difference, interval
from pipelines.predictions import Predictions, Scores, collected, joined
from pipelines.progress import stage
from pipelines.task import Task

# Models are compared on the same resamples, so that it is not the run's seed.
_SEED = 0
_RESAMPLES = 200
_MIN_RESAMPLES = 20
# Beyond N resampled numbers, scoring would take longer than training.
_MAX_NUMBERS = 200_000_000
# Of as many resamples as these fit, it is counted at once how often each example is drawn.
_MAX_COUNTS = 1 << 20


@dataclass(frozen=True)
class Evaluation:
    """A model's scores.

    Attributes:
        scores: Each score as `validation/NAME` and `test/NAME`.
        intervals: 95 % intervals of test's scores by NAME.
        test: A sample of the predictions on test, see `predictions.collected`.
        reduced: What scores need of all predictions on test, as `Task.reduce` returns it.
        resampled: The task's metric on resamples of validation. They are the same ones for all
            models of a data set, so that two models can be compared; see `difference`.
        resampled_test: All scores on resamples of test, from which the intervals follow; the same
            ones for all models too.
        deviations: Standard deviations of `scores` over seeds; none for a single one.
    """

    scores: Scores
    intervals: dict[str, tuple[float, float]]
    test: Predictions
    reduced: Predictions
    resampled: list[float]
    resampled_test: list[Scores] = field(default_factory=list)
    deviations: Scores = field(default_factory=dict)


def evaluate(task: Task, model: keras.Model, data: Dataset) -> Evaluation:
    """Scores a model on validation, and on test, which nothing else uses."""
    reduce, scores = _scoring(task, data)
    values: Scores = {}
    graph = _graph(task, model, data)
    with stage("evaluate", 2) as bar:
        for split in ("validation", "test"):
            batches = _batches(graph, task, data, split)
            if split == "validation":
                reduced = joined(map(reduce, batches))
                resampled = [each[task.metric] for each in _resamples(scores, reduced)]
            else:
                reduced, sample = collected(batches, reduce)
            own = scores(reduced)
            values |= {metric_names.score(split, name): x for name, x in own.items()}
            bar.advance(f"{split} {task.metric} {own[task.metric]:.4f}")
        resampled_test = _resamples(scores, reduced)
    return Evaluation(
        values, intervals_of(resampled_test), sample, reduced, resampled, resampled_test
    )


def score(task: Task, model: keras.Model, data: Dataset, split: str) -> Scores:
    """Scores a model on `split`."""
    reduce, scores = _scoring(task, data)
    return scores(joined(map(reduce, predicted(task, model, data, split))))


def scores_of(task: Task, predictions: Predictions, data: Dataset) -> Scores:
    """Scores predictions of a whole split, or of some of its examples."""
    return task.scores(task.reduce(predictions, data), data)


def comparable(task: Task, data: Dataset, evaluated: Evaluation) -> dict[str, Any]:
    """Returns what a later comparison of two runs by the paired bootstrap takes from each.

    Returns:
        "metric" and "greater_is_better", the task's; "digest" of the data set, and "units", the
        number of examples or blocks of them that are resampled, which both have to share; and
        "scores", by name the values on the resamples of test.
    """
    samples = evaluated.resampled_test
    return {
        "metric": task.metric,
        "greater_is_better": task.greater_is_better,
        "digest": data.digest,
        "units": _units(evaluated.reduced),
        "scores": {name: [float(each[name]) for each in samples] for name in samples[0]},
    }


def margins(evaluated: Evaluation, baseline: Baseline) -> dict[str, tuple[float, float]]:
    """Returns the 95 % interval of each score of a model on test less that of a baseline, by NAME.

    Both are scored on the same resamples of the split (paired bootstrap).
    """
    own = evaluated.resampled_test
    others = _resamples(baseline.score, baseline.reduced, count=len(own))
    found = {
        name: difference([each[name] for each in own], [each[name] for each in others])
        for name in baseline.test
    }
    return {name: bounds for name, bounds in found.items() if bounds}


def predict(task: Task, model: keras.Model, data: Dataset, split: str) -> Predictions:
    """Returns a model's predictions for each example of `split`, in the split's order."""
    return joined(predicted(task, model, data, split))


def predicted(task: Task, model: keras.Model, data: Dataset, split: str) -> Iterator[Predictions]:
    """Yields the same predictions batch by batch."""
    return _batches(_graph(task, model, data), task, data, split)


def _scoring(
    task: Task, data: Dataset
) -> tuple[Callable[[Predictions], Predictions], Callable[[Predictions], Scores]]:
    """Returns a task's `reduce` and `scores` of a data set."""
    return functools.partial(task.reduce, data=data), functools.partial(task.scores, data=data)


def _graph(task: Task, model: keras.Model, data: Dataset) -> Any:
    """Returns the function from inputs and target to predictions, to be traced for their specs."""
    return tf.function(lambda inputs, target: task.predict_batch(model, inputs, target, data))


def _batches(graph: Any, task: Task, data: Dataset, split: str) -> Iterator[Predictions]:
    batches = data.split(split).padded_batch(task.config.recipe.batch_size)
    # By the specs, batches of all lengths, and splits, share one graph.
    predict_batch = graph.get_concrete_function(*batches.element_spec[:2])
    raw, done = data.raw(split), 0
    for inputs, target, *weight in batches:
        targets = target if isinstance(target, dict) else {"target": target}
        if weight:
            targets = {**targets, "weight": weight[0]}
        examples = {name: value.numpy() for name, value in targets.items()}
        stop = done + len(next(iter(examples.values())))
        examples |= {name: column[done:stop] for name, column in raw.items()}
        done = stop
        found = predict_batch(inputs, target)
        yield Predictions(examples, {name: value.numpy() for name, value in found.items()})


def intervals(
    scores: Callable[[Predictions], Scores], predictions: Predictions, *, seed: int = _SEED
) -> dict[str, tuple[float, float]]:
    """Returns the 95 % interval of each score under resampling of examples, or of their blocks.

    `predictions` are what scores need, as `Task.reduce` returns it, of each example.

    The percentile bootstrap (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993) shows
    how much the scores depend on the examples that the split happens to hold, not on the seed of
    the training. Overlapping examples, as neighboring windows of a series, are not independent, so
    whole blocks of them are resampled.
    """
    return intervals_of(_resamples(scores, predictions, seed=seed))


def intervals_of(resampled: Sequence[Scores]) -> dict[str, tuple[float, float]]:
    """Returns the 95 % interval of each score from its values on resamples."""
    found = {name: interval([values[name] for values in resampled]) for name in resampled[0]}
    return {name: bounds for name, bounds in found.items() if bounds}


def _resamples(
    scores: Callable[[Predictions], Scores],
    predictions: Predictions,
    *,
    count: int = 0,
    seed: int = _SEED,
) -> list[Scores]:
    """Returns the scores of each resample; a seed chooses the same examples in any predictions.

    Statistics are summed by a matrix product with how often each example is drawn. Other columns
    are drawn example by example, so that the more numbers are in them, the fewer resamples there
    are; `count` chooses their number.
    """
    numbers = sum(column.size for column in predictions.predicted.values())
    count = count or max(_MIN_RESAMPLES, min(_RESAMPLES, _MAX_NUMBERS // max(numbers, 1)))
    sample = _sampler(predictions, np.random.default_rng(seed))
    size, drawn = len(predictions), replace(predictions, statistics={})
    at_once = max(1, _MAX_COUNTS // size)
    found: list[Scores] = []
    while len(found) < count:
        draws = [sample() for _ in range(min(at_once, count - len(found)))]
        sums = _sums(predictions.statistics, draws, size)
        found += [
            scores(replace(drawn.take(draw), statistics={name: x[i, None] for name, x in sums}))
            for i, draw in enumerate(draws)
        ]
    return found


def _sums(
    statistics: Mapping[str, np.ndarray], draws: Sequence[np.ndarray], size: int
) -> list[tuple[str, np.ndarray]]:
    """Returns by name the sums [draws, ...] of statistics [size, ...] over what each draw takes."""
    if not statistics:
        return []
    counts = np.stack([np.bincount(draw, minlength=size) for draw in draws]).astype(np.float64)
    return [(name, np.tensordot(counts, column, axes=1)) for name, column in statistics.items()]


def _sampler(predictions: Predictions, random: np.random.Generator) -> Callable[[], np.ndarray]:
    """Returns a function that draws indices, int [about examples], with replacement."""
    examples = len(predictions)
    if "block" not in predictions.examples:
        return lambda: random.integers(0, examples, examples)
    blocks = np.split(np.arange(examples), _block_ends(predictions))

    def sample() -> np.ndarray:
        chosen = random.integers(0, len(blocks), len(blocks))
        return np.concatenate([blocks[index] for index in chosen])

    return sample


def _units(predictions: Predictions) -> int:
    """Returns how many examples, or blocks of them, there are to draw from."""
    if "block" not in predictions.examples:
        return len(predictions)
    return len(_block_ends(predictions)) + 1


def _block_ends(predictions: Predictions) -> np.ndarray:
    return np.flatnonzero(np.diff(predictions.examples["block"])) + 1
