"""Baselines: what a model must beat to be worth its training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Beyond these the baseline would take longer than the network.
_MOST_EXAMPLES = 10_000
_LARGEST_SIDE = 32


@dataclass(frozen=True)
class Baseline:
    """A baseline's name and its metrics on the validation and the test split."""

    name: str
    validation: dict[str, float]
    test: dict[str, float]


def logistic_regression(
    train: tf.data.Dataset, validation: tf.data.Dataset, test: tf.data.Dataset
) -> Baseline:
    """Fits multinomial logistic regression on pixels.

    Images are shrunk to at most 32x32, and at most 10,000 training images are used.

    Args:
        train: (uint8 [height, width, channels], int64 []) examples, as the other two.
        validation: The split that choices look at.
        test: The split that is reported.

    Returns:
        The accuracy on validation and on test.
    """
    classifier = make_pipeline(StandardScaler(with_std=False), LogisticRegression(max_iter=1000))
    classifier.fit(*_pixels(train.take(_MOST_EXAMPLES)))
    return Baseline(
        "logistic regression",
        {"accuracy": float(classifier.score(*_pixels(validation)))},
        {"accuracy": float(classifier.score(*_pixels(test)))},
    )


def _pixels(split: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    def shrink(image, label):
        height, width = (min(side, _LARGEST_SIDE) for side in image.shape[:2])
        image = tf.cast(image, tf.float32) / 255.0
        if image.shape[:2] != (height, width):
            image = tf.image.resize(image, (height, width), antialias=True)
        return tf.reshape(image, [-1]), label

    batches = list(split.map(shrink).batch(1024).as_numpy_iterator())
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])
