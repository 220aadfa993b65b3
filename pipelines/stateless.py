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
# Of SplitMix64.
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def stream(seeds: tf.Tensor, number: int) -> tf.Tensor:
    """Returns other seeds for a further purpose, so that what is drawn for two is independent.

    Args:
        seeds: int32 [batch, 2].
        number: Of the purpose, from 1 on; 0 returns the seeds themselves.
    """
    return seeds + tf.constant([_wrapped(number * _STRIDE), 0])


def uniform(seeds: tf.Tensor, shape: Sequence[Any] | tf.Tensor = ()) -> tf.Tensor:
    """Returns numbers from 0 up to 1, float32 [batch, *shape].

    SplitMix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", 2014), whose
    k-th number is a hash of the state plus k times a constant: all rows are drawn at once, and the
    first numbers of one do not depend on how many are drawn, so padding changes none of them.

    Args:
        seeds: int32 [batch, 2].
        shape: Of what is drawn for each example.
    """
    shape = tf.convert_to_tensor(shape, tf.int32)
    state = _mixed(tf.bitcast(seeds, tf.uint64))[:, tf.newaxis]
    numbers = tf.cast(tf.range(1, tf.reduce_prod(shape) + 1), tf.uint64)
    bits = _mixed(state + numbers * tf.constant(0x9E3779B97F4A7C15, tf.uint64))
    # The 24 bits of a float32's significand.
    fractions = tf.cast(_shifted(bits, 40), tf.float32) * 2.0**-24
    return tf.reshape(fractions, tf.concat([tf.shape(seeds)[:1], shape], axis=0))


def normal(seeds: tf.Tensor, shape: Sequence[Any] | tf.Tensor = ()) -> tf.Tensor:
    """Returns numbers with mean 0 and deviation 1, float32 [batch, *shape]; as `uniform`."""
    return tf.math.ndtri(uniform(seeds, shape) + 2.0**-25)


def _mixed(bits: tf.Tensor) -> tf.Tensor:
    """Returns the hashes of uint64 numbers."""
    bits = tf.bitwise.bitwise_xor(bits, _shifted(bits, 30)) * tf.constant(_FACTORS[0], tf.uint64)
    bits = tf.bitwise.bitwise_xor(bits, _shifted(bits, 27)) * tf.constant(_FACTORS[1], tf.uint64)
    return tf.bitwise.bitwise_xor(bits, _shifted(bits, 31))


def _shifted(bits: tf.Tensor, places: int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, tf.constant(places, tf.uint64))


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
