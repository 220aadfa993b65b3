"""Random changes of the colors of images: jitter, and the operations of RandAugment."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from pipelines.image import geometry
from pipelines.image.config import Augmentation
from pipelines.stateless import uniform

# Operations of RandAugment that move pixels, then those that change them.
_MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
_PIXELS = (
    *("auto_contrast", "equalize", "solarize", "posterize", "color", "contrast", "brightness"),
    "sharpness",
)
# With "identity", the 14 of the paper, in the order of the numbers that are drawn.
OPERATIONS = ("identity", *_MOVES, *_PIXELS)
# The largest changes, at magnitude 10: a turn of 30°, a shear by .3, a translation by .45.
_ROTATION, _SHEAR, _TRANSLATION = math.pi / 6, 0.3, 0.45
# Changes of color, contrast, brightness and sharpness by a factor from .1 to 1.9.
_FACTOR = 0.9
# Of Keras' layers: images are 0-1, whatever the dtype policy of training is.
_FIXED: dict[str, Any] = {
    "value_range": (0.0, 1.0),
    "dtype": "float32",
    "data_format": "channels_last",
}

# From images, float32 [batch, height, width, channels] 0-1, and seeds or strengths.
Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def jitter(options: Augmentation) -> Change | None:
    """Returns random changes of brightness, contrast, saturation and hue, or None for none.

    Gray images have neither saturation nor hue. Keras' layers compute the changes; what they would
    draw is drawn here. They hold variables, so they are made here, outside of graphs.
    """
    layers = keras.layers
    brightness = options.brightness and layers.RandomBrightness(options.brightness, **_FIXED)
    contrast = options.contrast and layers.RandomContrast(options.contrast, **_FIXED)
    saturation = options.saturation and layers.RandomSaturation(options.saturation, **_FIXED)
    hue = options.hue and layers.RandomHue(options.hue, **_FIXED)
    if not any((brightness, contrast, saturation, hue)):
        return None

    def change(images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        drawn = tf.unstack(2 * uniform(seeds, [4]) - 1, axis=1)
        whole = [x[:, None, None, None] for x in drawn]
        if brightness:
            delta = options.brightness * whole[0]
            images = brightness.transform_images(images, {"rgb_delta": delta})
        if contrast:
            factor = 1 + options.contrast * whole[1]
            images = contrast.transform_images(images, {"contrast_factor": factor})
        if saturation and images.shape[-1] == 3:
            factor = 1 + options.saturation * drawn[2]
            images = saturation.transform_images(images, {"factor": factor})
        if hue and images.shape[-1] == 3:
            images = hue.transform_images(images, {"factor": options.hue * drawn[3]})
        return images

    return change


def draw(options: Augmentation, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws operations of RandAugment.

    Returns:
        Their numbers, int32 [batch, operations], and their strengths from -1 to 1, float32, which
        have the size of the magnitude and a random sign.
    """
    count = options.rand_augment
    drawn = uniform(seeds, [2 * count])
    which = tf.cast(drawn[:, :count] * len(OPERATIONS), tf.int32)
    strength = tf.where(drawn[:, count:] < 0.5, -1.0, 1.0) * options.magnitude / 10
    return tf.minimum(which, len(OPERATIONS) - 1), strength


def moves(which: tf.Tensor, strength: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Returns the matrices of the drawn operations that move pixels, as `geometry.transforms`."""

    def strength_of(name: str, slot: int) -> tf.Tensor:
        return tf.where(which[:, slot] == OPERATIONS.index(name), strength[:, slot], 0.0)

    found = geometry.translation(tf.zeros_like(strength[:, 0]), tf.zeros_like(strength[:, 0]))
    for slot in range(which.shape[1]):
        found = (
            geometry.rotation(_ROTATION * strength_of("rotate", slot))
            @ geometry.shear(
                _SHEAR * strength_of("shear_x", slot), _SHEAR * strength_of("shear_y", slot)
            )
            @ geometry.translation(
                _TRANSLATION * width * strength_of("translate_x", slot),
                _TRANSLATION * height * strength_of("translate_y", slot),
            )
            @ found
        )
    return found


def change_pixels(images: tf.Tensor, which: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Applies the drawn operations that change pixels, those of an image one after the other.

    For each of an image's operations in turn, all images that have the same one are changed
    together: what a batch costs is what its own operations cost.

    Args:
        images: float32 [batch, height, width, channels] 0-1.
        which: As `draw` returns it.
        strength: The same.
    """
    first = len(OPERATIONS) - len(_PIXELS)
    count = 1 + len(_PIXELS)
    for slot in range(which.shape[1]):
        number = tf.maximum(which[:, slot] - first + 1, 0)  # 0 stands for none of them.
        rows = tf.range(tf.shape(images)[0])
        rows, groups, strengths = (
            tf.dynamic_partition(each, number, count) for each in (rows, images, strength[:, slot])
        )
        changed = [
            one(group, by[:, None, None, None])
            for one, group, by in zip(_OPERATIONS, groups[1:], strengths[1:], strict=True)
        ]
        images = tf.ensure_shape(tf.dynamic_stitch(rows, [groups[0], *changed]), images.shape)
    return images


def _auto_contrast(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Stretches each channel of each image to 0-1."""
    # One axis after the other: several times as fast as both at once.
    low, high = (
        reduce(reduce(images, 1, True), 2, True) for reduce in (tf.reduce_min, tf.reduce_max)
    )
    # A channel of one value stays as it is.
    low, high = tf.where(high > low, low, 0.0), tf.where(high > low, high, 1.0)
    return (images - low) / (high - low)


def _equalize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Makes the 256 values of each channel of each image about equally frequent."""
    rows, channels = tf.shape(images)[0], images.shape[-1]
    # The counts, and then the table, of each channel of each image follow one another.
    first = 256 * tf.reshape(tf.range(rows * channels), [rows, 1, 1, channels])
    values = first + tf.cast(tf.round(255 * images), tf.int32)
    size = 256 * rows * channels
    counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=size, maxlength=size)
    below = tf.cast(tf.cumsum(tf.reshape(counts, [-1, 256]), axis=1), tf.float32)
    least = tf.reduce_min(tf.where(below > 0, below, below[:, -1:]), 1, True)
    table = tf.math.divide_no_nan(below - least, below[:, -1:] - least)
    # A channel of one value stays as it is.
    table = tf.where(below[:, -1:] > least, table, tf.range(256.0) / 255)
    return tf.gather(tf.reshape(table, [-1]), values)


def _solarize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Inverts what is above a brightness."""
    return tf.where(images > 1 - tf.abs(strength), 1 - images, images)


def _posterize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Keeps 8 to 4 bits."""
    step = 2.0 ** tf.round(4 * tf.abs(strength))
    return tf.floor(images * 255 / step) * step / 255


def _color(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return _blend(tf.reduce_mean(images, -1, True), images, strength)


def _contrast(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return _blend(tf.reduce_mean(images, [1, 2, 3], True), images, strength)


def _brightness(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return _blend(tf.zeros_like(images), images, strength)


def _sharpness(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moves an image away from a smooth one, in which a pixel counts five times its neighbors."""
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    return _blend((around + 4 * images) / 13, images, strength)


# In the order of `_PIXELS`, of images and strengths [batch, 1, 1, 1]; those without a direction
# take the size of the strength.
_OPERATIONS: tuple[Change, ...] = (
    *(_auto_contrast, _equalize, _solarize, _posterize, _color, _contrast, _brightness),
    _sharpness,
)


def _blend(base: tf.Tensor, images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moves images away from others, or towards them, and keeps them within 0-1."""
    return tf.clip_by_value(base + (1 + _FACTOR * strength) * (images - base), 0.0, 1.0)
