"""Random numbers that follow from a seed for each example, whatever batch it is in.

Augmentation draws from seeds alone: it runs in parallel, gives the same run for the same seed, and
goes on in the middle of an epoch as if it had never stopped. TensorFlow's stateless random numbers
take one seed; here each row of a batch has its own, so that an example is changed in the same way
beside any others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

# Streams of one seed lie this far apart: 2³² over the golden ratio, as an int32.
_STRIDE = -1640531527


def stream(seeds: tf.Tensor, number: int) -> tf.Tensor:
    """Returns other seeds for a further purpose, so that what is drawn for two is independent.

    Args:
        seeds: int32 [batch, 2].
        number: Of the purpose, from 1 on; 0 returns the seeds themselves.
    """
    return seeds + tf.constant([_wrapped(number * _STRIDE), 0])


def uniform(seeds: tf.Tensor, shape: Sequence[Any] = ()) -> tf.Tensor:
    """Returns numbers from 0 up to 1, float32 [batch, *shape].

    A row's first numbers do not depend on how many are drawn, so padding changes none of them.

    Args:
        seeds: int32 [batch, 2].
        shape: Of what is drawn for each example.
    """
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform(shape, seed, alg="philox"),
        seeds,
        fn_output_signature=tf.float32,
    )


def normal(seeds: tf.Tensor, shape: Sequence[Any] = ()) -> tf.Tensor:
    """Returns numbers with mean 0 and deviation 1, float32 [batch, *shape]; as `uniform`."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_normal(shape, seed, alg="philox"),
        seeds,
        fn_output_signature=tf.float32,
    )


def epoch_seeds(seed: int, epoch: Any, indices: tf.Tensor) -> tf.Tensor:
    """Returns the seeds of examples in an epoch, int32 [batch, 2].

    Args:
        seed: Of the run.
        epoch: Number of the epoch, from 0 on.
        indices: Stable indices of the examples, int64 [batch].
    """
    key = tf.random.stateless_uniform(
        (), tf.stack([seed, tf.cast(epoch, tf.int32)]), None, None, tf.int32, alg="philox"
    )
    indices = tf.cast(indices, tf.int32)
    return tf.stack([tf.fill(tf.shape(indices), key), indices], axis=1)


def _wrapped(number: int) -> int:
    """Returns a number as an int32."""
    return (number + 2**31) % 2**32 - 2**31
