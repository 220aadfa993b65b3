"""Batches: shuffled, bucketed by length, preprocessed and augmented."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.datasets.dataset import Dataset
from pipelines.stateless import epoch_seeds
from pipelines.task import Task
from pipelines.training import data_service

# Decoded examples up to this size are kept in memory after the first epoch.
_CACHE_BYTES = 1 << 30
_SHUFFLE_BUFFER = 10_000
# Sequences are bucketed by length at these boundaries.
_BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def training_batches(
    task: Task, data: Dataset, *, epoch: int = 0, step: int = 0
) -> tf.data.Dataset:
    """Returns shuffled, augmented training batches from a position to the end of training.

    Wherever they start, they are those of an uninterrupted run: the order of an epoch and the
    augmentation of each of its examples follow from the recipe's seed, the number of the epoch and
    the example's place in the training split. Sequences are batched with others of about their
    length and padded to the longest of them.

    Args:
        task: Preprocesses and augments.
        data: The data set.
        epoch: Number of the epoch to start in, from 0 on.
        step: Number of its batches to leave out.
    """
    recipe, steps = task.config.recipe, steps_per_epoch(data, task.config.recipe.batch_size)
    size, kept = data.example_bytes, None
    if size is not None and data.sizes["train"] * size <= _CACHE_BYTES:
        kept = data.train.cache()
    augment = task.augment(data)

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        """Returns batches of (seeds, example) in the order of an epoch."""
        # Of this function alone: without it, the order would depend on TensorFlow's global seed. A
        # seed of 0 would have TensorFlow compare the number, which is no Python number, with 0.
        tf.random.set_seed(recipe.seed + 1)
        examples = data.epoch(number) if kept is None else kept
        examples = examples.enumerate().shuffle(
            min(data.sizes["train"], _SHUFFLE_BUFFER), seed=number, reshuffle_each_iteration=False
        )
        return _batched(examples, recipe.batch_size, is_sequence(data.train)).map(
            lambda index, example: (epoch_seeds(recipe.seed, number, index), example)
        )

    def prepare(seeds: tf.Tensor, example: tuple) -> tuple:
        inputs, target, *weight = example
        inputs = task.preprocess(inputs)
        if augment:
            inputs, target = augment(inputs, target, seeds)
        return inputs, target, *weight

    def every(count: int, first: int) -> tf.data.Dataset:
        """Returns each count-th of the batches from the first on."""
        return (
            tf.data.Dataset.range(epoch, recipe.epochs)
            .flat_map(one_epoch)
            .skip(step)
            .shard(count, first)
            .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        )

    left = max(steps * (recipe.epochs - epoch) - step, 0)
    return (
        data_service.served(every, data_service.addresses(task.config.data_service))
        .apply(tf.data.experimental.assert_cardinality(left))
        .prefetch(tf.data.AUTOTUNE)
    )


def _batched(examples: tf.data.Dataset, batch_size: int, sequences: bool) -> tf.data.Dataset:
    """Returns batches of (index, example), sequences with those of about their length."""
    if not sequences:
        return examples.batch(batch_size)
    return examples.bucket_by_sequence_length(
        lambda index, example: _length(*example), _BUCKETS, [batch_size] * (len(_BUCKETS) + 1)
    )


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
