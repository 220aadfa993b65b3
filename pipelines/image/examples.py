"""Examples of image data sets: for figures, for verification, and to try a served model with."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import tensorflow as tf


def first(examples: tf.data.Dataset, count: int) -> np.ndarray:
    """Returns the inputs of the first `count` examples as one array."""
    return np.stack([example[0] for example in examples.take(count).as_numpy_iterator()])


def at(examples: tf.data.Dataset, indices: Collection[int]) -> dict[int, np.ndarray]:
    """Returns the inputs of the examples at `indices`, by index."""
    wanted = {int(index) for index in indices}
    if not wanted:
        return {}
    return {
        index: example[0]
        for index, example in enumerate(examples.take(max(wanted) + 1).as_numpy_iterator())
        if index in wanted
    }


def encode_png(images: np.ndarray) -> np.ndarray:
    """Encodes uint8 images [images, height, width, channels] to an object array of PNG strings."""
    return np.array([tf.io.encode_png(image).numpy() for image in images], object)
