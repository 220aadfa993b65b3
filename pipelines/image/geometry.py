"""Random geometric changes of images: one matrix for each, so that they are interpolated once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from pipelines.image.config import Augmentation
from pipelines.stateless import uniform

# Range of the width over the height of random crops, in log, as in Szegedy et al. 2015.
_LOG_ASPECT = math.log(4 / 3)
# How many random numbers an image gets, and the first of the two that say whether it is flipped.
_NUMBERS, _FLIP = 13, 4


def is_geometric(options: Augmentation) -> bool:
    """Returns whether options other than RandAugment's move pixels."""
    return any(
        (
            *(options.shift, options.rotation, options.zoom, options.flip),
            *(options.vertical_flip, options.crop, options.crop_padding),
        )
    )


def only_mirrors(options: Augmentation) -> bool:
    """Returns whether pixels are moved by flips alone, which need no interpolation."""
    flips = options.flip or options.vertical_flip
    return flips and not is_geometric(replace(options, flip=False, vertical_flip=False))


def mirrored(images: tf.Tensor, options: Augmentation, seeds: tf.Tensor) -> tf.Tensor:
    """Returns images flipped as by the matrices of `transforms`, in a third of the time.

    Args:
        images: [batch, height, width, channels], of any dtype.
        options: Whose flips are applied.
        seeds: int32 [batch, 2].
    """
    drawn = 2 * uniform(seeds, [_NUMBERS]) - 1
    for chosen, number, axis in ((options.flip, _FLIP, 2), (options.vertical_flip, _FLIP + 1, 1)):
        if chosen:
            here = tf.where(drawn[:, number] < 0)
            flipped = tf.reverse(tf.gather_nd(images, here), [axis])
            images = tf.tensor_scatter_nd_update(images, here, flipped)
    return images


def transforms(options: Augmentation, height: int, width: int, seeds: tf.Tensor) -> tf.Tensor:
    """Returns where the pixels of changed images are from, float32 [batch, 3, 3].

    A matrix leads from a point (x, y, 1) of the changed image to one of the image, in pixels from
    the center.

    Args:
        options: What to change, and how much.
        height: Height of the images.
        width: Their width.
        seeds: int32 [batch, 2].
    """
    drawn = tf.unstack(2 * uniform(seeds, [_NUMBERS]) - 1, axis=1)
    one = tf.ones_like(drawn[0])
    pad = options.crop_padding
    return (
        _crop(options.crop, height, width, *drawn[8:12])
        @ translation(_whole(pad, drawn[6]), _whole(pad, drawn[7]))
        @ scaling(
            tf.where(drawn[_FLIP] < 0, -one, one) if options.flip else one,
            tf.where(drawn[_FLIP + 1] < 0, -one, one) if options.vertical_flip else one,
        )
        @ scaling(1 + options.zoom * drawn[2], 1 + options.zoom * drawn[3])
        @ rotation(2 * math.pi * options.rotation * drawn[12])
        @ translation(options.shift * width * drawn[0], options.shift * height * drawn[1])
    )


def rotation(angle: tf.Tensor) -> tf.Tensor:
    """Returns rotations by angles [batch]."""
    zero = tf.zeros_like(angle)
    return matrix(tf.cos(angle), tf.sin(angle), zero, -tf.sin(angle), tf.cos(angle), zero)


def scaling(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Returns scalings by factors [batch]; negative ones mirror."""
    zero = tf.zeros_like(x)
    return matrix(x, zero, zero, zero, y, zero)


def translation(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Returns translations by pixels [batch]."""
    zero, one = tf.zeros_like(x), tf.ones_like(x)
    return matrix(one, zero, x, zero, one, y)


def shear(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Returns shears [batch]."""
    zero, one = tf.zeros_like(x), tf.ones_like(x)
    return matrix(one, x, zero, y, one, zero)


def matrix(*rows: tf.Tensor) -> tf.Tensor:
    """Returns matrices [batch, 3, 3] with these entries [batch] in the first two rows."""
    zero, one = tf.zeros_like(rows[0]), tf.ones_like(rows[0])
    return tf.reshape(tf.stack([*rows, zero, zero, one], axis=1), [-1, 3, 3])


def moved(images: tf.Tensor, matrices: tf.Tensor, interpolation: str, fill: float) -> tf.Tensor:
    """Returns images with their pixels from where `matrices`, [batch, 3, 3], say.

    Args:
        images: float32 [batch, height, width, channels].
        matrices: As `transforms` returns them.
        interpolation: "bilinear" or "nearest".
        fill: Value of pixels from outside the image.
    """
    x, y = ((side - 1) / 2 for side in (images.shape[2], images.shape[1]))
    to_corner = tf.constant([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
    to_center = tf.constant([[1.0, 0.0, -x], [0.0, 1.0, -y], [0.0, 0.0, 1.0]])
    found = keras.ops.image.affine_transform(
        images,
        tf.reshape(to_corner @ matrices @ to_center, [-1, 9])[:, :8],
        interpolation=interpolation,
        fill_mode="constant",
        fill_value=fill,
        data_format="channels_last",
    )
    return tf.ensure_shape(found, images.shape)


def _whole(pad: int, drawn: tf.Tensor) -> tf.Tensor:
    """Returns whole pixels from -pad to pad, all as probable, for numbers from -1 to 1."""
    return tf.clip_by_value(tf.floor((drawn + 1) / 2 * (2 * pad + 1)) - pad, -pad, pad)


def _crop(least: float, height: int, width: int, *drawn: Any) -> tf.Tensor:
    """Returns crops of an area from `least` to 1, an aspect ratio from 3/4 to 4/3, anywhere.

    Sides that do not fit are cut to the image's.
    """
    if not least:
        return scaling(tf.ones_like(drawn[0]), tf.ones_like(drawn[0]))
    x, y = _crop_sides(least, height, width, *drawn[:2])
    return translation((1 - x) / 2 * width * drawn[2], (1 - y) / 2 * height * drawn[3]) @ scaling(
        x, y
    )


def random_part(image: tf.Tensor, least: float, seed: tf.Tensor) -> tf.Tensor:
    """Returns a random part of an image, as `transforms` crops, in whole pixels.

    Args:
        image: uint8 [height, width, channels].
        least: Least area of the part, as a fraction.
        seed: int32 [2].
    """
    drawn = tf.unstack(2 * uniform(seed[tf.newaxis], [4])[0] - 1)
    height, width, _ = tf.unstack(tf.shape(image))
    whole = [tf.cast(side, tf.float32) for side in (height, width)]
    x, y = _crop_sides(least, *whole, *drawn[:2])
    rows, columns = (
        tf.maximum(tf.cast(tf.round(part * side), tf.int32), 1)
        for part, side in zip((y, x), whole, strict=True)
    )
    top, left = (
        tf.cast(tf.round(tf.cast(spare, tf.float32) * (place + 1) / 2), tf.int32)
        for spare, place in ((height - rows, drawn[3]), (width - columns, drawn[2]))
    )
    return image[top : top + rows, left : left + columns]


def _crop_sides(
    least: float, height: Any, width: Any, area: tf.Tensor, ratio: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns width and height of crops, as fractions, for two numbers from -1 to 1."""
    area = least + (1 - least) * (area + 1) / 2
    ratio = tf.exp(_LOG_ASPECT * ratio)
    x = tf.minimum(tf.sqrt(area * ratio * height / width), 1.0)
    return x, tf.minimum(tf.sqrt(area / ratio * width / height), 1.0)
