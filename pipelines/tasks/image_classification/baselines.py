"""Baselines of image classification: linear and kernel classifiers on pixels.

Images are resized to at most 32x32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from pipelines.baselines import class_probabilities
from pipelines.predictions import Predictions

# Beyond these a baseline would take longer than the network.
_MAX_IMAGES = 10_000
_MAX_SVM_IMAGES = 5_000
_MAX_SIDE = 32
_FOLDS = 5


def logistic_regression(
    train: tf.data.Dataset, classes: int
) -> Callable[[tf.data.Dataset], Predictions]:
    """Fits multinomial logistic regression on the pixels of at most 10,000 images.

    Args:
        train: (uint8 [height, width, channels], int64 []) examples.
        classes: Number of classes; those that `train` lacks get probability 0.

    Returns:
        A function from such examples to predictions: "probabilities", [examples, classes].
    """
    classifier = make_pipeline(StandardScaler(with_std=False), LogisticRegression(max_iter=1000))
    return _fitted(classifier, train.take(_MAX_IMAGES), classes)


def support_vector_machine(
    train: tf.data.Dataset, classes: int
) -> Callable[[tf.data.Dataset], Predictions] | None:
    """Fits a support vector machine with a radial basis kernel on the pixels of 5,000 images.

    Its decision values become probabilities by Platt's sigmoid, fitted in cross-validation.

    Args:
        train: (uint8 [height, width, channels], int64 []) examples.
        classes: Number of classes; those that `train` lacks get probability 0.

    Returns:
        A function from such examples to predictions: "probabilities", [examples, classes]; None
        where a class has fewer examples than there are folds.
    """
    train = train.take(_MAX_SVM_IMAGES)
    labels = np.fromiter(train.map(lambda image, label: label).as_numpy_iterator(), np.int64)
    _, counts = np.unique(labels, return_counts=True)
    if counts.min() < _FOLDS:
        return None
    return _fitted(CalibratedClassifierCV(SVC(), cv=_FOLDS, ensemble=False), train, classes)


def _fitted(
    classifier: Any, train: tf.data.Dataset, classes: int
) -> Callable[[tf.data.Dataset], Predictions]:
    classifier.fit(*_pixels(train))

    def predict(examples: tf.data.Dataset) -> Predictions:
        pixels, labels = _pixels(examples)
        probabilities = class_probabilities(classifier, pixels, classes)
        return Predictions({"target": labels}, {"probabilities": probabilities})

    return predict


def _pixels(examples: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Returns pixels, float32 [images, values], and labels, int64 [images]."""

    def shrink(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        height, width = (min(side, _MAX_SIDE) for side in image.shape[:2])
        image = tf.cast(image, tf.float32) / 255.0
        if image.shape[:2] != (height, width):
            image = tf.image.resize(image, (height, width), antialias=True)
        return tf.reshape(image, [-1]), label

    batches = list(examples.map(shrink).batch(1024).as_numpy_iterator())
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])
