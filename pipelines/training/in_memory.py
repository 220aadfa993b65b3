"""Training examples as arrays in memory, and the numbers of those of each batch.

To shuffle, bucket and pad examples one by one takes up to 100 µs of each. Here an epoch is shuffled
and bucketed at once, as numbers, and a batch is gathered from the arrays by the numbers of its
examples, in parallel with others.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipelines.datasets.in_memory import InMemory, joined, part

_BATCH = 1024


def fits(examples: tf.data.Dataset) -> bool:
    """Returns whether of the dimensions of examples only first ones vary."""
    return all(None not in spec.shape[1:] for spec in tf.nest.flatten(examples.element_spec))


def read(examples: tf.data.Dataset) -> InMemory:
    """Reads all examples into memory."""
    structure = examples.element_spec
    batches = (tf.nest.flatten(batch) for batch in examples.ragged_batch(_BATCH))
    columns = joined(dict(enumerate(batch)) for batch in batches)
    return InMemory([part(column) for column in columns.values()], structure)


def shuffled(buckets: np.ndarray, batch_size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """Returns the numbers of the examples of each batch of an epoch, int64 [batch].

    A batch has examples of one bucket. It comes as soon as these are complete in the order of the
    epoch; short ones come at the end.

    Args:
        buckets: Bucket of each example, int64 [examples].
        batch_size: Examples of a batch.
        seed: Of the order, int32 [2].
    """
    size, counts = len(buckets), np.bincount(buckets)
    firsts = np.cumsum(counts) - counts
    starts = np.concatenate(
        [
            np.arange(first, first + count, batch_size)
            for first, count in zip(firsts, counts, strict=True)
        ]
    )
    ends = np.append(starts[1:], size)
    with tf.init_scope():  # Not a constant of a graph, which would have it several times.
        known = tf.constant(buckets, tf.int32)
    order = tf.random.experimental.stateless_shuffle(tf.range(size), seed)
    # In the order of the epoch, by buckets.
    place = tf.argsort(tf.gather(known, order), stable=True)
    full, complete = ends - starts == batch_size, tf.gather(place, ends - 1)
    turn = tf.argsort(tf.where(full, complete, size + np.arange(len(starts), dtype=np.int32)))
    numbers = tf.gather(order, place)
    return tf.data.Dataset.from_tensor_slices((tf.gather(starts, turn), tf.gather(ends, turn))).map(
        lambda start, end: tf.cast(numbers[start:end], tf.int64)
    )
