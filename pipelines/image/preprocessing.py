"""Images: decoding and resizing; training and the served graph call the same code."""

from __future__ import annotations

import tensorflow as tf

from pipelines.image.decoding import on_white, upright


def resize(image: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Resizes images to `shape`, bilinear with antialiasing; images of that shape stay as they are.

    Args:
        image: uint8 [..., height, width, channels].
        shape: (height, width, channels) of the result; the channels must already agree.

    Returns:
        uint8 [..., *shape].
    """
    if image.shape[-3:] == shape:
        return image
    resized = tf.image.resize(image, shape[:2], antialias=True)
    resized = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
    resized.set_shape((*image.shape[:-3], *shape))
    return resized


def decode(encoded: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes PNG, JPEG, GIF or BMP strings [batch] to uint8 [batch, *shape], as `decode_file`."""
    return tf.map_fn(
        lambda string: decode_file(string, shape),
        encoded,
        fn_output_signature=tf.TensorSpec(shape, tf.uint8),
    )


def decode_file(encoded: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes a PNG, JPEG, GIF or BMP string [] to uint8 [*shape]: upright, on white, resized."""
    return resize(on_white(upright(encoded), shape[-1]), shape)


def scale(images: tf.Tensor) -> tf.Tensor:
    """Scales uint8 images 0-255 to float32 0-1, what networks read."""
    return tf.cast(images, tf.float32) / 255.0
