"""Signatures that read images: uint8 tensors, or strings of encoded files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from pipelines.export.signature import Signature


def of_tensors(
    predict: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    images: np.ndarray,
    expected: Mapping[str, np.ndarray],
) -> Signature:
    """Returns the signature `serving_default`, which reads images as tensors.

    Args:
        predict: From uint8 images [batch, height, width, channels] to outputs by name.
        images: Verification examples, uint8 [examples, height, width, channels].
        expected: The outputs for them, computed without the export.
    """
    shape = images.shape[1:]

    def serving_default(images: tf.Tensor) -> dict[str, tf.Tensor]:
        # Model servers do not check shapes against the signature, and a convolution whose input
        # has another rank can end the whole process.
        return predict(tf.ensure_shape(images, [None, *shape]))

    return Signature(
        "serving_default",
        serving_default,
        {"images": tf.TensorSpec([None, *shape], tf.uint8)},
        {"images": images},
        expected,
    )


def of_files(
    predict: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    encoded: np.ndarray,
    expected: Mapping[str, np.ndarray],
) -> Signature:
    """Returns the signature `image_bytes`, which reads encoded files.

    Args:
        predict: From PNG, JPEG, GIF or BMP strings [batch] to outputs by name.
        encoded: Verification examples, bytes [examples].
        expected: The outputs for them, computed without the export.
    """

    def image_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return predict(image_bytes)

    return Signature(
        "image_bytes",
        image_bytes,
        {"image_bytes": tf.TensorSpec([None], tf.string)},
        {"image_bytes": encoded},
        expected,
    )
