"""Evaluation: what a model answers to a split, its scores, and how certain these are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from pipelines.run import Data, Task

Scores = dict[str, float]

_RESAMPLES = 200
_FEWEST_RESAMPLES = 20
# Beyond so many resampled numbers, scoring would take longer than training.
_MOST_NUMBERS = 200_000_000


@dataclass(frozen=True)
class Predictions:
    """Examples of a split, in its order, and what was answered to them.

    Attributes:
        examples: Arrays [examples, ...] by name: "target", or the targets' own names; "weight"
            where some positions are padding; and the raw columns of the data set. A raw column
            "block", int [examples], numbers the examples that belong together.
        answers: Arrays [examples, ...] by name, as a served model's.
    """

    examples: Mapping[str, np.ndarray]
    answers: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.examples.values())))

    def take(self, indices: np.ndarray) -> Predictions:
        """Returns the predictions at `indices`, int [n], which may repeat."""
        return Predictions(
            {name: column[indices] for name, column in self.examples.items()},
            {name: column[indices] for name, column in self.answers.items()},
        )


def predict(task: Task, model: keras.Model, data: Data, split: str, batch_size: int) -> Predictions:
    """Returns what the model answers to each example of `split`, in the split's order."""
    batches = getattr(data, split).padded_batch(batch_size)

    # With the signature, batches of all lengths share one graph.
    @tf.function(input_signature=batches.element_spec[:2])
    def answer(inputs, target):
        return task.assessed(model, inputs, target)

    examples: dict[str, list[np.ndarray]] = {}
    answers: dict[str, list[np.ndarray]] = {}
    for inputs, target, *weight in batches:
        targets = target if isinstance(target, dict) else {"target": target}
        if weight:
            targets = {**targets, "weight": weight[0]}
        for columns, batch in ((examples, targets), (answers, answer(inputs, target))):
            for name, value in batch.items():
                columns.setdefault(name, []).append(value.numpy())
    return Predictions(
        {name: joined(batches) for name, batches in examples.items()} | data.raw(split),
        {name: joined(batches) for name, batches in answers.items()},
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

    The percentile bootstrap (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993): it
    tells how far the scores depend on which examples the split happens to hold, not on the seed
    of the training. Examples that overlap, as neighbouring windows of a series do, would pass for
    more evidence than they are; whole blocks of them are drawn instead.
    """
    random = np.random.default_rng(seed)
    numbers = sum(column.size for column in predictions.answers.values())
    count = max(_FEWEST_RESAMPLES, min(_RESAMPLES, _MOST_NUMBERS // max(numbers, 1)))
    draw = _draws(predictions, random)
    drawn = [scores(predictions.take(draw())) for _ in range(count)]
    return {
        name: tuple(np.nanpercentile([values[name] for values in drawn], (2.5, 97.5)).tolist())
        for name in drawn[0]
        if not np.isnan([values[name] for values in drawn]).all()
    }


def _draws(predictions: Predictions, random: np.random.Generator) -> Callable[[], np.ndarray]:
    """Returns a function that draws indices, int [about examples], with replacement."""
    examples = len(predictions)
    if "block" not in predictions.examples:
        return lambda: random.integers(0, examples, examples)
    ends = np.flatnonzero(np.diff(predictions.examples["block"])) + 1
    blocks = np.split(np.arange(examples), ends)

    def draw() -> np.ndarray:
        chosen = random.integers(0, len(blocks), len(blocks))
        return np.concatenate([blocks[index] for index in chosen])

    return draw
