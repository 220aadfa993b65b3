"""Rectangles that are erased, and pairs of images that are mixed."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from scipy.special import betaincinv

from pipelines.image.config import Augmentation
from pipelines.stateless import stream, uniform

# Area and log of the aspect ratio of erased rectangles (Zhong et al. 2020, section 4.2).
_AREA, _LOG_ASPECT = (0.02, 0.4), math.log(1 / 0.3)
# Quantiles of a Beta distribution that are drawn from.
_QUANTILES = 4096


def erase(images: tf.Tensor, rate: float, seeds: tf.Tensor) -> tf.Tensor:
    """Blackens a rectangle in a part of the images.

    Zhong et al., "Random Erasing Data Augmentation", 2020.

    Args:
        images: float32 [batch, height, width, channels].
        rate: Fraction of the images.
        seeds: int32 [batch, 2].
    """
    chosen, area, ratio, x, y = tf.unstack(uniform(seeds, [5]), axis=1)
    area = _AREA[0] + (_AREA[1] - _AREA[0]) * area
    ratio = tf.exp(_LOG_ASPECT * (2 * ratio - 1))
    height, width = (tf.minimum(tf.sqrt(side), 1.0) for side in (area * ratio, area / ratio))
    # Within the image.
    y, x = height / 2 + (1 - height) * y, width / 2 + (1 - width) * x
    inside = _inside(images, y, x, height, width) & (chosen < rate)[:, None, None]
    return tf.where(inside[..., tf.newaxis], 0.0, images)


def partners(seeds: tf.Tensor) -> tf.Tensor:
    """Returns for each example of a batch the index of another, int32 [batch], a permutation."""
    return tf.argsort(uniform(seeds))


def mix(
    images: tf.Tensor, targets: tf.Tensor, options: Augmentation, seeds: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes images of a batch with others by CutMix, by MixUp, or each by one of both.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
    Features", 2019; Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.

    Args:
        images: float32 [batch, height, width, channels].
        targets: Probabilities of classes, float32 [batch, classes]; or masks, uint8 [batch, height,
            width], of which CutMix takes the same rectangle.
        options: The alphas.
        seeds: int32 [batch, 2].
    """
    other = partners(stream(seeds, 1))
    others = tf.gather(images, other)
    choice, quantile, y, x = tf.unstack(uniform(seeds, [4]), axis=1)
    cut = choice < 0.5 if options.cut_mix and options.mix_up else choice < bool(options.cut_mix)
    # Where an image is the other one, and by how much elsewhere.
    side = tf.sqrt(1 - _beta(options.cut_mix or 1.0, quantile))
    inside = _inside(images, y, x, side, side) & cut[:, None, None]
    blended = tf.where(cut, 0.0, 1 - _beta(options.mix_up or 1.0, quantile))
    part = blended[:, None, None, None]
    mixed = tf.where(inside[..., tf.newaxis], others, images + part * (others - images))
    if targets.shape.rank == 3:
        return mixed, tf.where(inside, tf.gather(targets, other), targets)
    # Rectangles are cut off at the borders: what counts is the part that is left.
    fraction = tf.reduce_mean(tf.cast(inside, tf.float32), [1, 2]) + blended
    return mixed, targets + fraction[:, None] * (tf.gather(targets, other) - targets)


def _beta(alpha: float, quantile: tf.Tensor) -> tf.Tensor:
    """Returns quantiles of a symmetric Beta distribution at numbers from 0 to 1."""
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    table = tf.constant(betaincinv(alpha, alpha, middles), tf.float32)
    return tf.gather(table, tf.minimum(tf.cast(quantile * _QUANTILES, tf.int32), _QUANTILES - 1))


def _inside(
    images: tf.Tensor, y: tf.Tensor, x: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Returns which pixels lie in rectangles, bool [batch, height, width].

    Args:
        images: [batch, height, width, channels].
        y: Centers, [batch], as fractions of the image's sides; so are the others.
        x: Centers.
        height: Heights.
        width: Widths.
    """

    def along(size: int, center: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
        pixels = (tf.range(size, dtype=tf.float32) + 0.5) / size
        return tf.abs(pixels - center[:, tf.newaxis]) < side[:, tf.newaxis] / 2

    rows = along(images.shape[1], y, height)[:, :, tf.newaxis]
    return rows & along(images.shape[2], x, width)[:, tf.newaxis]
