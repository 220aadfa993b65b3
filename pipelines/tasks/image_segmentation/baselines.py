"""Baselines of semantic segmentation: the majority class, and logistic regression on pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.predictions import Predictions
from pipelines.tasks.image_segmentation.data import IGNORE_ID

# Side of the patch that describes a pixel, and what the regression is fitted on.
_PATCH = 5
_MAX_IMAGES = 10_000
_MAX_PIXELS = 50_000
_BATCH = 32

Predict = Callable[[np.ndarray], np.ndarray]


def predictions(examples: tf.data.Dataset, predict: Predict) -> Iterator[Predictions]:
    """Yields the masks that `predict`, from an image to a mask, predicts for batches of examples.

    Args:
        examples: (uint8 [height, width, channels], uint8 [height, width]) examples.
        predict: See `majority_class`.
    """
    for images, truth in examples.batch(_BATCH).as_numpy_iterator():
        yield Predictions({"target": truth}, {"mask": np.stack([predict(x) for x in images])})


def majority_class(train: tf.data.Dataset) -> Predict:
    """Returns a function that predicts the most frequent class of `train` for every pixel.

    Args:
        train: (uint8 [height, width, channels], uint8 [height, width]) examples.

    Returns:
        A function from an image to a mask, uint8 [height, width].
    """
    counts = np.zeros(256, np.int64)
    for _, mask in train.as_numpy_iterator():
        counts += np.bincount(mask.ravel(), minlength=256)
    majority = np.argmax(counts[:IGNORE_ID])
    return lambda image: np.full(image.shape[:2], majority, np.uint8)


def logistic_regression(train: tf.data.Dataset, size: int, seed: int = 0) -> Predict:
    """Fits multinomial logistic regression on single pixels.

    The features of a pixel are the 5x5 patch around it, the squares of that patch, and its
    position in the image. About 50,000 pixels are sampled from at most 10,000 images.

    Args:
        train: (uint8 [height, width, channels], uint8 [height, width]) examples.
        size: Number of examples in `train`.
        seed: Seed of the sample.

    Returns:
        A function from an image to a mask, uint8 [height, width].
    """
    random = np.random.default_rng(seed)
    per_image = -(-_MAX_PIXELS // min(size, _MAX_IMAGES))
    features, classes = [], []
    for image, mask in train.take(_MAX_IMAGES).as_numpy_iterator():
        labeled = np.flatnonzero(mask != IGNORE_ID)
        sample = random.choice(labeled, min(per_image, len(labeled)), replace=False)
        features.append(_features(image)[sample])
        classes.append(mask.ravel()[sample])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3, max_iter=300))
    classifier.fit(np.concatenate(features), np.concatenate(classes))
    return lambda image: classifier.predict(_features(image)).reshape(image.shape[:2])


def _features(image: np.ndarray) -> np.ndarray:
    """Turns an image, uint8 [height, width, channels], into float32 [pixels, features]."""
    height, width, _ = image.shape
    border = _PATCH // 2
    padded = np.pad(image / np.float32(255), ((border, border), (border, border), (0, 0)), "edge")
    patches = sliding_window_view(padded, (_PATCH, _PATCH), axis=(0, 1)).reshape(height * width, -1)
    y, x = (side.ravel() for side in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    position = np.stack([y, x, y * y, x * x, x * y], axis=1)
    return np.concatenate([patches, patches**2, position], axis=1, dtype=np.float32)
