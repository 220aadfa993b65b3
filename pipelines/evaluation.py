"""Evaluation: predictions for a split, their scores, and the confidence intervals of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def evaluate(
    task: Task, model: keras.Model, data: Dataset
) -> tuple[Scores, dict[str, tuple[float, float]], Predictions]:
    """Scores a model on validation, and on test, which nothing else uses.

    Returns:
        Each score as `validation_NAME` and `test_NAME`, the 95 % intervals of test's by NAME, and
        the predictions on test.
    """
    values: Scores = {}
    with stage("evaluate", 2) as bar:
        for split in ("validation", "test"):
            predictions = predict(task, model, data, split)
            scores = task.scores(predictions, data)
            values |= {f"{split}_{name}": value for name, value in scores.items()}
            bar.advance(f"{split} {task.metric} {scores[task.metric]:.4f}")
        found = intervals(
            lambda sample: task.scores(sample, data), predictions, seed=task.config.recipe.seed
        )
    return values, found, predictions


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
    random = np.random.default_rng(seed)
    numbers = sum(column.size for column in predictions.predicted.values())
    count = max(_MIN_RESAMPLES, min(_RESAMPLES, _MAX_NUMBERS // max(numbers, 1)))
    sample = _sampler(predictions, random)
    samples = [scores(predictions.take(sample())) for _ in range(count)]
    return {
        name: tuple(np.nanpercentile([values[name] for values in samples], (2.5, 97.5)).tolist())
        for name in samples[0]
        if not np.isnan([values[name] for values in samples]).all()
    }


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
