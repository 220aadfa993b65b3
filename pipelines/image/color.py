"""Random changes of the colors of images: jitter, and the operations of RandAugment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from pipelines.image import geometry
from pipelines.image.config import Augmentation
from pipelines.stateless import uniform

# Operations of RandAugment that move pixels, then those that change them one image at a time.
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

# From images, float32 [batch, height, width, channels] 0-1, and seeds, int32 [batch, 2].
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


def pixel_changes() -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns the function that applies the drawn operations that change pixels.

    It takes images, float32 [batch, height, width, channels] 0-1, and what `draw` returns, and
    computes for each image its own operations alone.
    """
    operations = _operations()

    def one(parts: Sequence[tf.Tensor]) -> tf.Tensor:
        image, which, strength = parts
        for slot in range(which.shape[0]):
            image = _chosen(operations, image, which[slot], strength[slot])
        return image

    return lambda *parts: tf.map_fn(one, parts, fn_output_signature=tf.float32)


def _chosen(
    operations: Sequence[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]],
    image: tf.Tensor,
    which: tf.Tensor,
    strength: tf.Tensor,
) -> tf.Tensor:
    branches = [lambda: image, *(partial(one, image, strength) for one in operations)]
    first = len(OPERATIONS) - len(operations)
    changed = tf.switch_case(tf.maximum(which - first + 1, 0), branches)
    return tf.ensure_shape(changed, image.shape)


def _operations() -> list[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """Returns the operations `_PIXELS`, of an image [height, width, channels] and a strength.

    Those without a direction take the size of the strength.
    """
    contrast = keras.layers.AutoContrast(**_FIXED)
    equalization = keras.layers.Equalization(**_FIXED)
    sharpness = keras.layers.RandomSharpness(1.0, **_FIXED)

    def posterize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        """Keeps 8 to 4 bits."""
        step = 2.0 ** tf.round(4 * tf.abs(strength))
        return tf.floor(image * 255 / step) * step / 255

    def equalize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        return equalization.transform_images(image[tf.newaxis], None)[0]

    def sharpen(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        # Half of a factor, of which 1 changes nothing.
        factor = (1 + _FACTOR * strength) / 2
        return sharpness.transform_images(image[tf.newaxis], {"factor": factor})[0]

    return [
        lambda image, strength: contrast.transform_images(image[tf.newaxis])[0],
        equalize,
        lambda image, strength: tf.where(image > 1 - tf.abs(strength), 1 - image, image),
        posterize,
        lambda image, strength: _blend(tf.reduce_mean(image, -1, True), image, strength),
        lambda image, strength: _blend(tf.reduce_mean(image), image, strength),
        lambda image, strength: _blend(tf.zeros_like(image), image, strength),
        sharpen,
    ]


def _blend(base: tf.Tensor, image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moves an image away from another one, or towards it, and keeps it within 0-1."""
    return tf.clip_by_value(base + (1 + _FACTOR * strength) * (image - base), 0.0, 1.0)
