"""Augmentation of training images, drawn from a seed for each example."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from pipelines.image.config import Augmentation
from pipelines.stateless import stream, uniform

# From images, float32 [batch, height, width, channels] 0-1, their masks, uint8 [batch, height,
# width], or None, and seeds, int32 [batch, 2], to changed images and masks.
Change = Callable[[tf.Tensor, tf.Tensor | None, tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]


def augmentation(options: Augmentation, *, void: int = 0) -> Change | None:
    """Returns random changes of images and their masks, or None where all are off.

    What comes from outside an image is black. A mask moves exactly as its image does, by
    nearest-neighbor interpolation.

    Args:
        options: What to change, and how much.
        void: The class of mask pixels from outside the image.
    """
    if not any((options.shift, options.rotation, options.zoom, options.flip)):
        return None

    def change(
        images: tf.Tensor, masks: tf.Tensor | None, seeds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        transforms = geometry(options, images.shape[1], images.shape[2], stream(seeds, 1))
        moved = _moved(images, transforms, "bilinear", 0.0)
        if masks is None:
            return moved, None
        values = tf.cast(masks, tf.float32)[..., tf.newaxis]
        classes = _moved(values, transforms, "nearest", float(void))[..., 0]
        return moved, tf.cast(classes, masks.dtype)

    return change


def geometry(options: Augmentation, height: int, width: int, seeds: tf.Tensor) -> tf.Tensor:
    """Returns where the pixels of changed images are from, float32 [batch, 3, 3].

    All changes are one matrix, from a point (x, y, 1) of the changed image to one of the image, in
    pixels from the center, so that images are interpolated once.
    """
    drawn = tf.unstack(2 * uniform(seeds, [6]) - 1, axis=1)
    zero, one = tf.zeros_like(drawn[0]), tf.ones_like(drawn[0])
    angle = 2 * math.pi * options.rotation * drawn[2]
    mirrored = tf.where(drawn[5] < 0, -one, one) if options.flip else one
    return (
        _scaling(mirrored, one)
        @ _scaling(1 + options.zoom * drawn[3], 1 + options.zoom * drawn[4])
        @ _matrix(tf.cos(angle), tf.sin(angle), zero, -tf.sin(angle), tf.cos(angle), zero)
        @ _matrix(
            *(one, zero, options.shift * width * drawn[0]),
            *(zero, one, options.shift * height * drawn[1]),
        )
    )


def _scaling(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    zero = tf.zeros_like(x)
    return _matrix(x, zero, zero, zero, y, zero)


def _matrix(*rows: tf.Tensor) -> tf.Tensor:
    """Returns matrices [batch, 3, 3] with the first two rows' entries, each [batch]."""
    zero, one = tf.zeros_like(rows[0]), tf.ones_like(rows[0])
    return tf.reshape(tf.stack([*rows, zero, zero, one], axis=1), [-1, 3, 3])


def _moved(images: tf.Tensor, transforms: tf.Tensor, interpolation: str, fill: float) -> tf.Tensor:
    """Returns images with their pixels from where `transforms`, [batch, 3, 3], say."""
    x, y = ((side - 1) / 2 for side in (images.shape[2], images.shape[1]))
    to_corner = tf.constant([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
    to_center = tf.constant([[1.0, 0.0, -x], [0.0, 1.0, -y], [0.0, 0.0, 1.0]])
    matrices = tf.reshape(to_corner @ transforms @ to_center, [-1, 9])[:, :8]
    return keras.ops.image.affine_transform(
        images,
        matrices,
        interpolation=interpolation,
        fill_mode="constant",
        fill_value=fill,
        data_format="channels_last",
    )
