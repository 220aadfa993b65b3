"""Images: decoding and resizing; training and the served graph call the same code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import tensorflow as tf

from architectures.pretrained import Preprocessing
from pipelines.image.decoding import on_white, upright

# From an image, uint8 [..., height, width, channels], to a part of it.
Part = Callable[[tf.Tensor], tf.Tensor]
# The whole image, bilinear.
WHOLE = Preprocessing()
_METHODS = {
    "bilinear": tf.image.ResizeMethod.BILINEAR,
    "bicubic": tf.image.ResizeMethod.BICUBIC,
    "lanczos": tf.image.ResizeMethod.LANCZOS3,
    "nearest": tf.image.ResizeMethod.NEAREST_NEIGHBOR,
}
# Where values beyond 0-255 arise on the way. Pillow, with which networks are trained elsewhere,
# mostly resizes rows, then columns, and clips in between.
_OVERSHOOTING = ("bicubic", "lanczos")


def resize(
    image: tf.Tensor,
    shape: tuple[int, int, int],
    how: Preprocessing = WHOLE,
    part: Part | None = None,
) -> tf.Tensor:
    """Resizes images to `shape`, with antialiasing; images of that shape stay as they are.

    Args:
        image: uint8 [..., height, width, channels].
        shape: (height, width, channels) of the result; the channels must already agree.
        how: Interpolation, and the share of the image that is kept: with one, the image is resized
            until its middle, of the shape, is that share, as torchvision's Resize and CenterCrop
            do; without, the whole image is squeezed into the shape.
        part: Takes another part of the image, which is squeezed into the shape.

    Returns:
        uint8 [..., *shape].
    """
    if part:
        image, how = part(image), replace(how, crop_share=0.0)
    if image.shape[-3:] == shape:
        return image
    size = _before_crop(image, shape, how.crop_share) if how.crop_share else shape[:2]
    method = _METHODS[how.interpolation]
    if how.interpolation in _OVERSHOOTING:
        image = _bytes(
            tf.image.resize(image, [tf.shape(image)[-3], size[1]], method, antialias=True)
        )
    resized = tf.image.resize(image, size, method, antialias=True)
    if how.crop_share:
        # torchvision rounds halves to even numbers, too.
        spare = (tf.shape(resized)[-3:-1] - shape[:2]) / 2
        top, left = tf.unstack(tf.cast(tf.round(spare), tf.int32))
        resized = resized[..., top : top + shape[0], left : left + shape[1], :]
    resized = _bytes(resized)
    resized.set_shape((*image.shape[:-3], *shape))
    return resized


def _bytes(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(values), 0, 255), tf.uint8)


def _before_crop(image: tf.Tensor, shape: tuple[int, int, int], share: float) -> tf.Tensor:
    """Returns (height, width) to which an image is resized before its middle is cut out."""
    found = tf.shape(image)[-3:-1]
    height, width = tf.unstack(found)
    high, wide = (math.floor(side / share) for side in shape[:2])
    by_height = high * width >= wide * height
    sides = tf.where(by_height, [high, width * high // height], [height * wide // width, wide])
    return tf.where(tf.reduce_all(found == shape[:2]), found, sides)


def decode(
    encoded: tf.Tensor, shape: tuple[int, int, int], how: Preprocessing = WHOLE
) -> tf.Tensor:
    """Decodes PNG, JPEG, GIF or BMP strings [batch] to uint8 [batch, *shape], as `decode_file`."""
    return tf.map_fn(
        lambda string: decode_file(string, shape, how),
        encoded,
        fn_output_signature=tf.TensorSpec(shape, tf.uint8),
    )


def decode_file(
    encoded: tf.Tensor,
    shape: tuple[int, int, int],
    how: Preprocessing = WHOLE,
    part: Part | None = None,
) -> tf.Tensor:
    """Decodes a PNG, JPEG, GIF or BMP string [] to uint8 [*shape]: upright, on white, resized.

    Args:
        encoded: string [].
        shape: (height, width, channels) of the result.
        how: Crop and interpolation.
        part: Takes another part of the image.
    """
    return resize(on_white(upright(encoded), shape[-1]), shape, how, part)


def scale(images: tf.Tensor) -> tf.Tensor:
    """Scales uint8 images 0-255 to float32 0-1, what networks read."""
    return tf.cast(images, tf.float32) / 255.0
