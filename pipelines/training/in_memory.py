"""Training examples as arrays in memory, and the numbers of those of each batch.

To shuffle, bucket and pad examples one by one takes up to 100 µs of each. Here an epoch is shuffled
and bucketed at once, as numbers, and a batch is gathered from the arrays by the numbers of its
examples, in parallel with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

_BATCH = 1024


@dataclass(frozen=True)
class _Part:
    """One part of all examples.

    Attributes:
        values: [examples, …], or [steps of all examples, …] where they vary in length.
        starts: Of each example in `values`, int64 [examples]; None where all have one shape.
        lengths: Of each example, int64 [examples]; None likewise.
    """

    values: tf.Tensor
    starts: tf.Tensor | None = None
    lengths: tf.Tensor | None = None

    def gather(self, numbers: tf.Tensor) -> tf.Tensor:
        """Returns a batch, padded with zeros to its longest example."""
        if self.starts is None:
            return tf.gather(self.values, numbers)
        lengths = tf.gather(self.lengths, numbers)[:, tf.newaxis]
        steps = tf.range(tf.reduce_max(lengths), dtype=lengths.dtype)
        real = steps < lengths
        places = tf.where(real, tf.gather(self.starts, numbers)[:, tf.newaxis] + steps, 0)
        found = tf.gather(self.values, places)
        for _ in range(found.shape.rank - 2):
            real = real[..., tf.newaxis]
        return tf.where(real, found, tf.zeros((), found.dtype))


@dataclass(frozen=True)
class InMemory:
    """All examples of a data set.

    Attributes:
        parts: Tensors of the examples, one after the other.
        structure: What they are parts of: inputs, target and maybe weight.
    """

    parts: Sequence[_Part]
    structure: Any

    def batch(self, numbers: tf.Tensor) -> Any:
        """Returns the examples of some numbers, int64 [batch], as batches padded with zeros."""
        batches = [part.gather(numbers) for part in self.parts]
        return tf.nest.pack_sequence_as(self.structure, batches)


def fits(examples: tf.data.Dataset) -> bool:
    """Returns whether of the dimensions of examples only first ones vary."""
    return all(None not in spec.shape[1:] for spec in tf.nest.flatten(examples.element_spec))


def read(examples: tf.data.Dataset) -> InMemory:
    """Reads all examples into memory."""
    structure = examples.element_spec
    batches = [tf.nest.flatten(batch) for batch in examples.ragged_batch(_BATCH)]
    return InMemory([_part(column) for column in zip(*batches, strict=True)], structure)


def _part(batches: Sequence[tf.Tensor | tf.RaggedTensor]) -> _Part:
    joined = tf.concat(batches, axis=0)
    if not isinstance(joined, tf.RaggedTensor):
        return _Part(joined)
    return _Part(joined.flat_values, joined.row_starts(), joined.row_lengths())


def shuffled(buckets: np.ndarray, batch_size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """Returns the numbers of the examples of each batch of an epoch, int64 [batch].

    A batch has examples of one bucket. It comes as soon as these are complete in the order of the
    epoch; short ones come at the end.

    Args:
        buckets: Bucket of each example, int64 [examples].
        batch_size: Examples of a batch.
        seed: Of the order, int32 [2].
    """
    size = len(buckets)
    order = tf.random.experimental.stateless_shuffle(tf.range(size, dtype=tf.int64), seed)
    bucket = tf.gather(tf.constant(buckets), order)
    place = tf.argsort(bucket, stable=True)  # In the order of the epoch, by buckets.
    counts = tf.math.bincount(tf.cast(bucket, tf.int32), dtype=tf.int64)
    rank = tf.range(size, dtype=tf.int64) - tf.repeat(tf.cumsum(counts, exclusive=True), counts)
    batch = tf.cumsum(tf.cast(rank % batch_size == 0, tf.int64)) - 1
    complete = tf.math.segment_max(tf.cast(place, tf.int64), batch)
    full = tf.math.segment_sum(tf.ones_like(batch), batch) == batch_size
    turn = tf.where(full, complete, size + tf.range(tf.size(complete, tf.int64)))
    numbers = tf.RaggedTensor.from_value_rowids(tf.gather(order, place), batch)
    padded = tf.gather(numbers.to_tensor(-1), tf.argsort(turn))
    return tf.data.Dataset.from_tensor_slices(padded).map(
        lambda row: tf.boolean_mask(row, row >= 0)
    )
