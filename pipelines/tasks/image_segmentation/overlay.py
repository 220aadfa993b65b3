"""Color overlays of masks on images, in figures and in the served graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.colors import hsv_to_rgb

from pipelines.image.decoding import on_white, upright
from pipelines.tasks.image_segmentation.data import resize_mask


def palette(class_names: Sequence[str]) -> np.ndarray:
    """Returns a color for each value of a mask, uint8 [256, 3].

    The class "background" and values that are no class are black, which `overlay` leaves out. The
    hues of the others are equally spaced, and every second one is darker.
    """
    colored = [index for index, name in enumerate(class_names) if name != "background"]
    order = np.arange(len(colored))
    hues = (0.08 + order / max(len(order), 1)) % 1
    hsv = np.stack([hues, np.ones(len(order)), np.where(order % 2, 0.7, 1)], axis=1)
    colors = np.zeros((256, 3), np.uint8)
    colors[colored] = np.round(255 * hsv_to_rgb(hsv))
    return colors


def overlay(image: tf.Tensor, mask: tf.Tensor, colors: np.ndarray) -> tf.Tensor:
    """Blends an image with the colors of a mask, half and half, where these are not black.

    Args:
        image: uint8 [..., height, width, 1 or 3].
        mask: uint8 [..., height, width].
        colors: uint8 [256, 3], as `palette` returns them.

    Returns:
        uint8 [..., height, width, 3].
    """
    color = tf.gather(tf.constant(colors, tf.int32), tf.cast(mask, tf.int32))
    pixels = tf.cast(image, tf.int32)
    blended = tf.reduce_any(color > 0, -1, keepdims=True)
    # Integers, so that the result is the same on every machine.
    return tf.cast(tf.where(blended, (pixels + color) // 2, pixels), tf.uint8)


def overlay_file(encoded: tf.Tensor, mask: tf.Tensor, colors: np.ndarray) -> tf.Tensor:
    """Blends the image in a file with the colors of a mask.

    Args:
        encoded: string [], a PNG, JPEG, GIF or BMP file.
        mask: uint8 [height, width] of any size; resized to the image's.
        colors: uint8 [256, 3], as `palette` returns them.

    Returns:
        string [], a PNG file in RGB of the image's size, upright, on white.
    """
    image = on_white(upright(encoded), 3)
    resized = resize_mask(mask, tf.shape(image)[:2])
    return tf.io.encode_png(overlay(image, resized, colors))
