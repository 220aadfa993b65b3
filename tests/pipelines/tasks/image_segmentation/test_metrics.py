"""Scores of segmentation: against values computed by hand, and against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keras.metrics import MeanIoU

from pipelines.tasks.image_segmentation import metrics
from pipelines.tasks.image_segmentation.data import IGNORE_ID

TRUTH = np.array([[0, 0, 0, 1], [0, 2, 2, IGNORE_ID]], np.uint8)
PREDICTED = np.array([[0, 0, 1, 1], [0, 2, 1, 2]], np.uint8)
COUNTS = [[3, 1, 0], [0, 1, 0], [0, 1, 1]]


def test_a_confusion_counts_pixels_by_true_and_predicted_class():
    assert metrics.confusion(TRUTH, PREDICTED, 3).tolist() == COUNTS
    # The fourth class does not occur.
    assert metrics.confusion(TRUTH, PREDICTED, 4)[3].tolist() == [0, 0, 0, 0]
    both = metrics.total_confusion([TRUTH, TRUTH], [PREDICTED, TRUTH], 3)
    assert both.tolist() == (np.array(COUNTS) + np.diag([4, 1, 2])).tolist()


def test_scores_match_those_computed_by_hand():
    scores = metrics.scores(
        metrics.by_class(np.array(COUNTS)), ("back ground", "tumour/core", "ε-2")
    )
    assert scores == {
        "mean_iou": pytest.approx((3 / 4 + 1 / 3 + 1 / 2) / 3),
        "dice": pytest.approx((6 / 7 + 2 / 4 + 2 / 3) / 3),
        "pixel_accuracy": pytest.approx(5 / 7),
        "iou_back_ground": pytest.approx(3 / 4),
        "iou_tumour_core": pytest.approx(1 / 3),
        "iou_ε-2": pytest.approx(1 / 2),
    }


def test_a_class_neither_true_nor_predicted_does_not_count():
    scores = metrics.scores(
        metrics.by_class(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])), ("a", "b", "c")
    )
    assert scores["iou_a"] == pytest.approx(3 / 4)
    assert scores["iou_b"] == 0  # Predicted, but never true.
    assert np.isnan(scores["iou_c"])
    assert scores["mean_iou"] == pytest.approx(3 / 8)
    assert scores["dice"] == pytest.approx(6 / 7 / 2)


def test_without_pixels_scores_are_nan():
    scores = metrics.scores(metrics.by_class(np.zeros((2, 2), int)), ("a", "b"))
    assert all(np.isnan(value) for value in scores.values())


def test_with_many_classes_only_means_are_scored():
    counts = np.diag(np.arange(1, 22))
    assert metrics.scores(metrics.by_class(counts), [f"class {i}" for i in range(21)]) == {
        "mean_iou": 1.0,
        "dice": 1.0,
        "pixel_accuracy": 1.0,
    }


MASKS = arrays.arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 3))


@given(truth=MASKS, predicted=MASKS)
def test_the_mean_iou_matches_keras(truth, predicted):
    truth = np.where(truth == 3, IGNORE_ID, truth).astype(np.uint8)
    predicted = np.minimum(predicted, 2)
    metric = MeanIoU(3, ignore_class=IGNORE_ID)
    metric.update_state(truth.astype(int), predicted)
    counts = metrics.total_confusion(truth, predicted, 3)
    expected = np.nan if (truth == IGNORE_ID).all() else float(metric.result())
    mean = metrics.scores(metrics.by_class(counts), ("a", "b", "c"))["mean_iou"]
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
