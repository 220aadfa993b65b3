"""Baselines of segmentation: what they are fitted on and what they predict."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipelines.predictions import joined
from pipelines.tasks.image_segmentation import baselines, metrics
from pipelines.tasks.image_segmentation.data import IGNORE_ID
from tests.pipelines.tasks.image_segmentation.examples import squares


def test_the_majority_class_is_counted_over_pixels_with_a_class():
    mask = np.array([[IGNORE_ID, IGNORE_ID, IGNORE_ID], [2, 2, 1]], np.uint8)
    train = tf.data.Dataset.from_tensors((np.zeros((2, 3, 1), np.uint8), mask))
    predicted = baselines.majority_class(train)(np.zeros((4, 5, 1), np.uint8))
    assert predicted.dtype == np.uint8
    np.testing.assert_array_equal(predicted, np.full((4, 5), 2))


def test_logistic_regression_learns_from_the_patch():
    data = squares()
    predict = baselines.logistic_regression(data.train, data.sizes["train"])
    predictions = joined(list(baselines.predictions(data.test, predict)))
    truth, predicted = predictions.examples["target"], predictions.predicted["mask"]
    assert predicted.dtype == np.uint8
    assert predicted.shape == truth.shape == (10, 16, 16)
    pixels = metrics.reduce(predictions, 3).total("pixels")
    scores = metrics.scores(pixels, data.class_names)
    assert scores["mean_iou"] > 0.9
    # It is not fitted on pixels without a class.
    assert set(np.unique(predicted)) == {0, 1, 2}


def test_logistic_regression_learns_from_the_position():
    """All images are black; the left side is one class and the right side another."""
    mask = np.repeat([[0] * 6 + [1] * 4], 8, axis=0).astype(np.uint8)
    train = tf.data.Dataset.from_tensors((np.zeros((8, 10, 3), np.uint8), mask))
    predict = baselines.logistic_regression(train, 1)
    np.testing.assert_array_equal(predict(np.zeros((8, 10, 3), np.uint8)), mask)
