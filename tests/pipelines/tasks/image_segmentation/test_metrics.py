"""Segmentation: scores worked out by hand, coloured masks, baselines, pictures."""

from __future__ import annotations

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pipelines.predictions import Predictions
from pipelines.tasks.image_segmentation import metrics as segmentation
from pipelines.tasks.image_segmentation.data import VOID
from tests.pipelines import segmented

TRUTH = np.array([[0, 0, 0, 1], [0, 2, 2, VOID]], np.uint8)
ANSWER = np.array([[0, 0, 1, 1], [0, 2, 1, 2]], np.uint8)
COUNTS = [[3, 1, 0], [0, 1, 0], [0, 1, 1]]


def test_a_confusion_counts_pixels_by_true_and_predicted_class():
    assert segmentation.confusion(TRUTH, ANSWER, 3).tolist() == COUNTS
    # The fourth class is nowhere.
    assert segmentation.confusion(TRUTH, ANSWER, 4)[3].tolist() == [0, 0, 0, 0]
    both = segmentation.total([TRUTH, TRUTH], [ANSWER, TRUTH], 3)
    assert both.tolist() == (np.array(COUNTS) + np.diag([4, 1, 2])).tolist()


def test_scores_are_those_worked_out_by_hand():
    scores = segmentation.scores(np.array(COUNTS), ("back ground", "tumour/core", "ε-2"))
    assert scores == {
        "mean_iou": pytest.approx((3 / 4 + 1 / 3 + 1 / 2) / 3),
        "dice": pytest.approx((6 / 7 + 2 / 4 + 2 / 3) / 3),
        "pixel_accuracy": pytest.approx(5 / 7),
        "iou_back_ground": pytest.approx(3 / 4),
        "iou_tumour_core": pytest.approx(1 / 3),
        "iou_ε-2": pytest.approx(1 / 2),
    }


def test_a_class_that_neither_side_has_is_left_out_of_the_means():
    scores = segmentation.scores(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]]), ("a", "b", "c"))
    assert scores["iou_a"] == pytest.approx(3 / 4)
    assert scores["iou_b"] == 0  # Nowhere true, but answered.
    assert np.isnan(scores["iou_c"])
    assert scores["mean_iou"] == pytest.approx(3 / 8)
    assert scores["dice"] == pytest.approx(6 / 7 / 2)


def test_without_a_pixel_that_counts_scores_are_unknown():
    scores = segmentation.scores(np.zeros((2, 2), int), ("a", "b"))
    assert all(np.isnan(value) for value in scores.values())


def test_of_many_classes_only_the_means_are_scored():
    counts = np.diag(np.arange(1, 22))
    assert segmentation.scores(counts, [f"class {i}" for i in range(21)]) == {
        "mean_iou": 1.0,
        "dice": 1.0,
        "pixel_accuracy": 1.0,
    }


MASKS = arrays.arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 3))


@given(truth=MASKS, answer=MASKS)
def test_the_mean_iou_is_keras_own(truth, answer):
    truth = np.where(truth == 3, VOID, truth).astype(np.uint8)
    answer = np.minimum(answer, 2)
    metric = keras.metrics.MeanIoU(3, ignore_class=VOID)
    metric.update_state(truth.astype(int), answer)
    counts = segmentation.total(truth, answer, 3)
    expected = np.nan if (truth == VOID).all() else float(metric.result())
    mean = segmentation.scores(counts, ("a", "b", "c"))["mean_iou"]
    np.testing.assert_allclose(mean, expected, rtol=1e-6)


def test_each_class_has_a_colour_of_its_own_and_the_background_none():
    for classes in (2, 11, 20):
        names = ["background", *map(str, range(1, classes))]
        colours = segmentation.palette(names)
        assert colours.dtype == np.uint8
        assert colours.shape == (256, 3)
        assert len(np.unique(colours[1:classes], axis=0)) == classes - 1
        assert colours[1:classes].any(-1).all()
        assert not colours[[0, *range(classes, 256)]].any()
    assert segmentation.palette(["sky", "ground"])[:2].any(-1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_is_half_the_image_and_half_the_colour(channels):
    colours = segmentation.palette(["background", "cell"])
    image = np.full((2, 2, channels), 101, np.uint8)
    answer = segmentation.overlay(image, np.array([[0, 1], [VOID, 0]], np.uint8), colours).numpy()
    assert (answer.dtype, answer.shape) == (np.uint8, (2, 2, 3))
    assert answer[0, 1].tolist() == [(101 + int(colour)) // 2 for colour in colours[1]]
    for pixel in (answer[0, 0], answer[1, 0], answer[1, 1]):
        assert pixel.tolist() == [101, 101, 101]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_mask_is_drawn_over_a_picture_of_any_size_and_kind(kind):
    file = io.BytesIO()
    Image.new("RGB", (30, 20), (100, 100, 100)).save(file, kind)
    colours = segmentation.palette(["background", "cell"])
    mask = tf.constant([[0, 1], [0, 0], [1, 1], [1, 1]], tf.uint8)
    drawn = segmentation.drawn(tf.constant(file.getvalue()), mask, colours)
    with Image.open(io.BytesIO(drawn.numpy())) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (30, 20))
        pixels = np.asarray(picture).astype(int)
    half = (100 + colours[1].astype(int)) // 2
    expected = np.full((20, 30, 3), 100)
    expected[:5, 15:] = expected[10:] = half
    assert np.abs(pixels - expected).max() <= 2


def test_the_majority_class_is_counted_over_all_pixels_that_have_one():
    mask = np.array([[VOID, VOID, VOID], [2, 2, 1]], np.uint8)
    train = tf.data.Dataset.from_tensors((np.zeros((2, 3, 1), np.uint8), mask))
    answer = segmentation.majority_class(train)(np.zeros((4, 5, 1), np.uint8))
    assert answer.dtype == np.uint8
    np.testing.assert_array_equal(answer, np.full((4, 5), 2))


def test_logistic_regression_learns_what_a_pixel_shows():
    data = segmented.squares()
    predict = segmentation.logistic_regression(data.train, data.sizes["train"])
    predictions = segmentation.answered(data.test, predict)
    truth, answer = predictions.examples["target"], predictions.predicted["mask"]
    assert answer.dtype == np.uint8
    assert answer.shape == truth.shape == (10, 16, 16)
    scores = segmentation.scores(segmentation.total(truth, answer, 3), data.class_names)
    assert scores["mean_iou"] > 0.9
    # Pixels of no class are not what is learned.
    assert set(np.unique(answer)) == {0, 1, 2}


def test_logistic_regression_knows_where_a_pixel_lies():
    """All images are black; left is one class and right the other."""
    mask = np.repeat([[0] * 6 + [1] * 4], 8, axis=0).astype(np.uint8)
    train = tf.data.Dataset.from_tensors((np.zeros((8, 10, 3), np.uint8), mask))
    predict = segmentation.logistic_regression(train, 1)
    np.testing.assert_array_equal(predict(np.zeros((8, 10, 3), np.uint8)), mask)


def test_pictures_show_the_worst_images_first():
    data = segmented.squares()
    truth = np.stack([mask for _, mask in data.test.as_numpy_iterator()])
    mask = np.where(truth == VOID, 0, truth)
    for index, wrong in ((3, 200), (7, 100)):  # The first so many pixels.
        mask[index].flat[:wrong] = 1
    test = Predictions({"target": truth}, {"mask": mask})
    pictures = dict(segmentation.pictures(test, data.test, data.class_names))
    assert list(pictures) == ["confusion_matrix", "iou_by_class", "masks", "worst_masks"]
    captions = [axes.get_title() for axes in pictures["worst_masks"].axes if axes.get_title()]
    assert len(captions) == 8
    assert captions == sorted(captions)
    assert captions[2:] == ["mean IoU 1.000"] * 6
    images = [axes.images[0].get_array() for axes in pictures["worst_masks"].axes]
    shown = [image for image, _ in data.test.as_numpy_iterator()]
    np.testing.assert_array_equal(images[0], shown[3].squeeze())
    np.testing.assert_array_equal(images[1], shown[7].squeeze())
    wrong = (truth != mask) & (truth != VOID)
    np.testing.assert_array_equal((np.asarray(images[24]) == (255, 0, 0)).all(-1), wrong[3])
