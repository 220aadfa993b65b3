"""Training examples as arrays in memory, and the numbers of those of each batch.

To shuffle, bucket and pad examples one by one takes up to 100 µs of each. Here an epoch is shuffled
and bucketed at once, as numbers, and a batch is gathered from the arrays by the numbers of its
examples, in parallel with others.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipelines.datasets.in_memory import InMemory, part

_BATCH = 1024


def fits(examples: tf.data.Dataset) -> bool:
    """Returns whether of the dimensions of examples only first ones vary."""
    return all(None not in spec.shape[1:] for spec in tf.nest.flatten(examples.element_spec))


def read(examples: tf.data.Dataset) -> InMemory:
    """Reads all examples into memory."""
    structure = examples.element_spec
    batches = [tf.nest.flatten(batch) for batch in examples.ragged_batch(_BATCH)]
    joined = (tf.concat(column, axis=0) for column in zip(*batches, strict=True))
    return InMemory([part(column) for column in joined], structure)


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
