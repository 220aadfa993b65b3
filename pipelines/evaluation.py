"""Evaluation: predictions for a split, their scores, and the confidence intervals of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from pipelines.datasets.dataset import Dataset
from pipelines.predictions import Predictions, Scores
from pipelines.progress import stage
from pipelines.task import Task

_RESAMPLES = 200
_MIN_RESAMPLES = 20
# Beyond N resampled numbers, scoring would take longer than training.
_MAX_NUMBERS = 200_000_000


@dataclass(frozen=True)
class Evaluation:
    """A model's scores.

    Attributes:
        scores: Each score as `validation_NAME` and `test_NAME`.
        intervals: 95 % intervals of test's scores by NAME.
        test: The predictions on test.
        resampled: The task's metric on resamples of validation. They are the same ones for all
            models of a data set, so that two models can be compared; see `difference`.
        resampled_test: All scores on resamples of test, from which the intervals follow.
        deviations: Standard deviations of `scores` over seeds; none for a single one.
    """

    scores: Scores
    intervals: dict[str, tuple[float, float]]
    test: Predictions
    resampled: list[float]
    resampled_test: list[Scores] = field(default_factory=list)
    deviations: Scores = field(default_factory=dict)


def evaluate(
    task: Task, model: keras.Model, data: Dataset, *, seed: int | None = None
) -> Evaluation:
    """Scores a model on validation, and on test, which nothing else uses.

    Args:
        task: Has the scores.
        model: The trained network's model.
        data: The data set.
        seed: Of the resamples of test; None takes the recipe's.
    """
    if seed is None:
        seed = task.config.recipe.seed

    def scores(sample: Predictions) -> Scores:
        return task.scores(sample, data)

    values: Scores = {}
    with stage("evaluate", 2) as bar:
        for split in ("validation", "test"):
            predictions = predict(task, model, data, split)
            own = scores(predictions)
            values |= {f"{split}_{name}": value for name, value in own.items()}
            if split == "validation":
                # Not the run's seed, which differs from the other model's.
                resampled = [each[task.metric] for each in _resamples(scores, predictions, seed=0)]
            bar.advance(f"{split} {task.metric} {own[task.metric]:.4f}")
        resampled_test = _resamples(scores, predictions, seed=seed)
    return Evaluation(values, intervals_of(resampled_test), predictions, resampled, resampled_test)


def predict(task: Task, model: keras.Model, data: Dataset, split: str) -> Predictions:
    """Returns a model's predictions for each example of `split`, in the split's order."""
    batches = data.split(split).padded_batch(task.config.recipe.batch_size)

    # With the signature, batches of all lengths share one graph.
    @tf.function(input_signature=batches.element_spec[:2])
    def predict_batch(inputs: object, target: object) -> dict[str, tf.Tensor]:
        return task.predict_batch(model, inputs, target, data)

    examples: dict[str, list[np.ndarray]] = {}
    predicted: dict[str, list[np.ndarray]] = {}
    for inputs, target, *weight in batches:
        targets = target if isinstance(target, dict) else {"target": target}
        if weight:
            targets = {**targets, "weight": weight[0]}
        for columns, batch in ((examples, targets), (predicted, predict_batch(inputs, target))):
            for name, value in batch.items():
                columns.setdefault(name, []).append(value.numpy())
    return Predictions(
        {name: joined(batches) for name, batches in examples.items()} | data.raw(split),
        {name: joined(batches) for name, batches in predicted.items()},
    )


def joined(batches: Sequence[np.ndarray]) -> np.ndarray:
    """Joins batches along the first axis; the others are padded with zeros to the longest."""
    longest = np.max([batch.shape[1:] for batch in batches], axis=0).astype(int)
    padded = [
        np.pad(batch, [(0, 0), *((0, gap) for gap in longest - batch.shape[1:])])
        for batch in batches
    ]
    return np.concatenate(padded)


def intervals(
    scores: Callable[[Predictions], Scores], predictions: Predictions, *, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Returns the 95 % interval of each score under resampling of examples, or of their blocks.

    The percentile bootstrap (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993) shows
    how much the scores depend on the examples that the split happens to hold, not on the seed of
    the training. Overlapping examples, as neighboring windows of a series, are not independent, so
    whole blocks of them are resampled.
    """
    return intervals_of(_resamples(scores, predictions, seed=seed))


def intervals_of(resampled: Sequence[Scores]) -> dict[str, tuple[float, float]]:
    """Returns the 95 % interval of each score from its values on resamples."""
    found = {name: _interval([values[name] for values in resampled]) for name in resampled[0]}
    return {name: interval for name, interval in found.items() if interval}


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95 % interval of one model's score less the other's, by the paired bootstrap.

    Both are scored on the same resamples, so what makes a resample easy for both cancels out
    (Koehn, "Statistical Significance Tests for Machine Translation Evaluation", 2004).

    Args:
        one: The `resampled` of one model.
        other: That of the other model; if one has more values, those are left out.

    Returns:
        The interval; None if there are no values.
    """
    return _interval([first - second for first, second in zip(one, other, strict=False)])


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    if np.isnan(values).all():  # Or there are none.
        return None
    low, high = np.nanpercentile(values, (2.5, 97.5)).tolist()
    return low, high


def _resamples(
    scores: Callable[[Predictions], Scores], predictions: Predictions, *, seed: int
) -> list[Scores]:
    """Returns the scores of each resample; a seed chooses the same examples in any predictions."""
    numbers = sum(column.size for column in predictions.predicted.values())
    count = max(_MIN_RESAMPLES, min(_RESAMPLES, _MAX_NUMBERS // max(numbers, 1)))
    sample = _sampler(predictions, np.random.default_rng(seed))
    return [scores(predictions.take(sample())) for _ in range(count)]


def _sampler(predictions: Predictions, random: np.random.Generator) -> Callable[[], np.ndarray]:
    """Returns a function that draws indices, int [about examples], with replacement."""
    examples = len(predictions)
    if "block" not in predictions.examples:
        return lambda: random.integers(0, examples, examples)
    ends = np.flatnonzero(np.diff(predictions.examples["block"])) + 1
    blocks = np.split(np.arange(examples), ends)

    def sample() -> np.ndarray:
        chosen = random.integers(0, len(blocks), len(blocks))
        return np.concatenate([blocks[index] for index in chosen])

    return sample
