"""Batches: shuffled, bucketed by length, preprocessed and augmented."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.datasets.dataset import Dataset, length
from pipelines.datasets.in_memory import without_copies
from pipelines.datasets.untuned import untuned
from pipelines.recipe import Recipe
from pipelines.stateless import epoch_seeds
from pipelines.task import Task
from pipelines.training import data_service, in_memory, strategies

# A training split up to this size is read in moments.
_SMALL_BYTES = 1 << 27
# One up to this size is read before training begins, a larger one in each epoch.
_ARRAY_BYTES = 1 << 30
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
    length and padded to the longest of them; for XLA, to the longest of their bucket.

    Args:
        task: Preprocesses and augments.
        data: The data set.
        epoch: Number of the epoch to start in, from 0 on.
        step: Number of its batches to leave out.
    """
    recipe, steps = task.config.recipe, steps_per_epoch(data, task.config.recipe.batch_size)
    servers = data_service.addresses(task.config.data_service)
    in_arrays = _fits(data, _ARRAY_BYTES)
    one_epoch, read = (_gathered if in_arrays else _streamed)(recipe, data)
    options = without_copies() if in_arrays else tf.data.Options()
    augment, pad = task.augment(data), padding(task, data)

    def prepare(number: tf.Tensor, index: tf.Tensor, *found: Any) -> tuple:
        inputs, target, *weight = pad(read(index, *found))
        inputs = task.preprocess(inputs)
        if augment:
            inputs, target = augment(inputs, target, epoch_seeds(recipe.seed, number, index))
        return inputs, target, *weight

    def every(count: int, first: int) -> tf.data.Dataset:
        """Returns each count-th of the batches from the first on."""
        return (
            tf.data.Dataset.range(epoch, recipe.epochs)
            .with_options(options)
            .flat_map(lambda number: one_epoch(number).map(partial(_numbered, number)))
            .skip(step)
            .shard(count, first)
            .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        )

    left = max(steps * (recipe.epochs - epoch) - step, 0)
    return (
        data_service.served(every, servers)
        .apply(tf.data.experimental.assert_cardinality(left))
        .prefetch(tf.data.AUTOTUNE)
        .apply(untuned)
    )


# From the number of an epoch, int64 [], to its batches, and from one of these to its examples.
_Source = tuple[Callable[[tf.Tensor], tf.data.Dataset], Callable[..., tuple]]


def is_small(data: Dataset) -> bool:
    """Returns whether the training split is read, and held as arrays, in moments."""
    return _fits(data, _SMALL_BYTES)


def _fits(data: Dataset, limit: int) -> bool:
    """Returns whether the training split is gathered from arrays, if it may have `limit` bytes."""
    if data.gathered:
        return True
    if data.example_bytes is None or not in_memory.fits(data.train):
        return False
    return data.sizes["train"] * data.example_bytes <= limit


def _gathered(recipe: Recipe, data: Dataset) -> _Source:
    """Returns batches of numbers, and what gathers their examples from arrays."""
    examples, lengths = data.gathered or in_memory.read(data.train), data.lengths
    none = np.zeros(data.sizes["train"], np.int64)
    bucket = none if lengths is None else np.searchsorted(_BUCKETS, lengths, side="right")

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        seed = tf.stack([tf.constant(recipe.seed, tf.int64), number])
        return in_memory.shuffled(bucket, recipe.batch_size, seed)

    return one_epoch, examples.batch


def _streamed(recipe: Recipe, data: Dataset) -> _Source:
    """Returns batches of numbers and examples, shuffled in a buffer."""

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        # Of this function alone: without it, the order would depend on TensorFlow's global seed. A
        # seed of 0 would have TensorFlow compare the number, which is no Python number, with 0.
        tf.random.set_seed(recipe.seed + 1)
        examples = data.epoch(number).enumerate()
        examples = examples.shuffle(
            min(data.sizes["train"], _SHUFFLE_BUFFER), seed=number, reshuffle_each_iteration=False
        )
        if not is_sequence(data.train):
            return examples.batch(recipe.batch_size)
        return by_length(examples, recipe.batch_size)

    return one_epoch, lambda index, example: example


def _numbered(number: tf.Tensor, *batch: Any) -> tuple:
    """Returns a batch with the number of its epoch before it."""
    return number, *batch


def by_length(examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Returns padded batches of (number, example), each of sequences of about one length."""
    limits = [batch_size] * (len(_BUCKETS) + 1)
    return examples.bucket_by_sequence_length(
        lambda number, example: length(*example), _BUCKETS, limits
    )


def buckets(lengths: np.ndarray) -> list[np.ndarray]:
    """Splits lengths, int [examples], into the buckets that are not empty."""
    index = np.searchsorted(_BUCKETS, lengths, side="right")
    return [lengths[index == bucket] for bucket in np.unique(index)]


def steps_per_epoch(data: Dataset, batch_size: int) -> int:
    """Returns the number of batches of an epoch; each bucket of sequences ends with a short one."""
    if data.lengths is None:
        return -(-data.sizes["train"] // batch_size)
    return sum(-(-len(bucket) // batch_size) for bucket in buckets(data.lengths))


def evaluation_batches(
    task: Task,
    examples: tf.data.Dataset,
    batch_size: int,
    pad: Callable[[tuple], tuple] = lambda batch: batch,
) -> tf.data.Dataset:
    """Returns preprocessed batches in the order of the examples, which `pad` may make longer."""

    def prepare(*batch: Any) -> tuple:
        inputs, *rest = pad(batch)
        return task.preprocess(inputs), *rest

    return examples.padded_batch(batch_size).map(prepare).prefetch(tf.data.AUTOTUNE)


def padding(task: Task, data: Dataset) -> Callable[[tuple], tuple]:
    """Returns what pads batches of sequences for XLA, which compiles a graph for each shape.

    All parts of a batch that vary in length become as long as their bucket's upper boundary, or as
    the longest in the training split where that is shorter, as networks have no room for more.
    Without XLA, batches remain as they are.
    """
    if not (is_sequence(data.train) and strategies.compiles(task.config)):
        return lambda batch: batch
    longest = data.longest
    ends = tf.constant([*_BUCKETS, max(longest)], tf.int32)
    varying = [None in spec.shape for spec in tf.nest.flatten(data.train.element_spec)]

    def pad(batch: tuple) -> tuple:
        parts = tf.nest.flatten(batch)
        sizes = [tf.shape(x)[1] for x, varies in zip(parts, varying, strict=True) if varies]
        bucket = tf.searchsorted(ends[:-1], [tf.reduce_max(sizes)], side="right")[0]

        def longer(x: tf.Tensor, most: int, varies: bool) -> tf.Tensor:
            if not varies:
                return x
            gap = tf.maximum(tf.minimum(ends[bucket], most) - tf.shape(x)[1], 0)
            return tf.pad(x, [[0, 0], [0, gap], *[[0, 0]] * (x.shape.rank - 2)])

        padded = [longer(*each) for each in zip(parts, longest, varying, strict=True)]
        return tf.nest.pack_sequence_as(batch, padded)

    return pad


def is_sequence(examples: tf.data.Dataset) -> bool:
    """Returns whether examples have a dimension of varying length."""
    return any(None in spec.shape for spec in tf.nest.flatten(examples.element_spec))
