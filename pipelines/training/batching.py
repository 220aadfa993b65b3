"""Batches: shuffled, bucketed by length, preprocessed and augmented."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.datasets.dataset import Dataset
from pipelines.task import Task

# Decoded examples up to this size are kept in memory after the first epoch.
_CACHE_BYTES = 1 << 30
_SHUFFLE_BUFFER = 10_000
# Sequences are bucketed by length at these boundaries.
_BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def training_batches(task: Task, data: Dataset) -> tf.data.Dataset:
    """Returns shuffled, augmented training batches, the same ones for the same seed.

    Sequences are batched with others of about their length and padded to the longest of them.
    """
    recipe, examples = task.config.recipe, data.train
    size = data.example_bytes
    if size is not None and data.sizes["train"] * size <= _CACHE_BYTES:
        examples = examples.cache()
    augment = task.augment(data)

    def prepare(inputs: Any, target: Any, *weight: Any) -> tuple:
        inputs = task.preprocess(inputs)
        if augment:
            inputs, target = augment(inputs, target)
        return inputs, target, *weight

    examples = examples.shuffle(min(data.sizes["train"], _SHUFFLE_BUFFER), seed=recipe.seed)
    if is_sequence(examples):
        batched = examples.bucket_by_sequence_length(
            _length, _BUCKETS, [recipe.batch_size] * (len(_BUCKETS) + 1)
        )
        # Without a known number of batches, Keras looks for one more in every epoch and counts it
        # as an update.
        cardinality = tf.data.experimental.assert_cardinality(
            steps_per_epoch(data, recipe.batch_size)
        )
        batched = batched.apply(cardinality)
    else:
        batched = examples.batch(recipe.batch_size)
    # The augmentation draws from one seeded stream, hence one map at a time.
    return batched.map(prepare).prefetch(tf.data.AUTOTUNE)


def buckets(lengths: np.ndarray) -> list[np.ndarray]:
    """Splits lengths, int [examples], into the buckets that are not empty."""
    index = np.searchsorted(_BUCKETS, lengths, side="right")
    return [lengths[index == bucket] for bucket in np.unique(index)]


def steps_per_epoch(data: Dataset, batch_size: int) -> int:
    """Returns the number of batches of an epoch; each bucket of sequences ends with a short one."""
    if not is_sequence(data.train):
        return -(-data.sizes["train"] // batch_size)
    lengths = np.fromiter(data.train.map(_length).as_numpy_iterator(), int)
    return sum(-(-len(bucket) // batch_size) for bucket in buckets(lengths))


def evaluation_batches(task: Task, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Returns preprocessed batches in the order of the examples."""
    return (
        examples.padded_batch(batch_size)
        .map(lambda inputs, *rest: (task.preprocess(inputs), *rest))
        .prefetch(tf.data.AUTOTUNE)
    )


def is_sequence(examples: tf.data.Dataset) -> bool:
    """Returns whether examples have a dimension of varying length."""
    return any(None in spec.shape for spec in tf.nest.flatten(examples.element_spec))


def _length(*example: Any) -> tf.Tensor:
    """Returns the longest first dimension among the parts of an example."""
    parts = [part for part in tf.nest.flatten(example) if part.shape.rank]
    return tf.reduce_max(tf.stack([tf.shape(part)[0] for part in parts]))
