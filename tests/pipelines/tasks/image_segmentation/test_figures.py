"""Figures of segmentation: the images and masks that they show."""

from __future__ import annotations

import numpy as np

from pipelines.predictions import Predictions
from pipelines.tasks.image_segmentation.data import IGNORE_ID
from pipelines.tasks.image_segmentation.figures import (
    _CONFUSED,
    _FALSE,
    _MISSED,
    _apart,
    _masks,
    figures,
)
from tests.pipelines.tasks.image_segmentation.examples import squares


def test_figures_show_the_worst_images_first():
    data = squares()
    truth = np.stack([mask for _, mask in data.test.as_numpy_iterator()])
    mask = np.where(truth == IGNORE_ID, 0, truth)
    for index, wrong in ((3, 200), (7, 100)):  # That many pixels.
        mask[index].flat[:wrong] = 1
    test = Predictions({"target": truth}, {"mask": mask})
    plots = dict(figures(test, data.test, data.class_names))
    assert list(plots) == ["confusion_matrix", "iou_by_class", "masks", "worst_masks"]
    (axes,) = plots["worst_masks"].axes
    title, *texts = [text.get_text() for text in axes.texts]
    captions, rows = texts[:-4], texts[-4:]
    assert title == "Worst test images, neighbors left out"
    assert rows == ["image", "truth", "prediction", "mistakes"]
    assert len(captions) == 8
    assert captions == sorted(captions)
    assert captions[2:] == ["mean IoU 1.000"] * 6
    images = [np.asarray(image.get_array()) for image in axes.images]
    shown = [image for image, _ in data.test.as_numpy_iterator()]
    np.testing.assert_array_equal(images[0], shown[3].squeeze())
    np.testing.assert_array_equal(images[1], shown[7].squeeze())
    wrong = (truth != mask) & (truth != IGNORE_ID)
    color = (images[24] == _FALSE).all(-1) | (images[24] == _CONFUSED).all(-1)
    np.testing.assert_array_equal(color, wrong[3])


def test_false_positives_and_negatives_have_colors_of_their_own():
    truth = np.array([[[0, 0, 1, 1, 2, IGNORE_ID]]], np.uint8)
    mask = np.array([[[0, 1, 0, 1, 1, 1]]], np.uint8)
    images = np.full((1, 1, 6, 3), 9, np.uint8)
    figure = _masks(images, truth, mask, ("background", "cell", "wall"), [""], "Masks")
    mistakes = np.asarray(figure.axes[0].images[-1].get_array())
    same = (9, 9, 9)
    expected = [same, _FALSE, _MISSED, same, _CONFUSED, same]
    np.testing.assert_array_equal(mistakes, np.array(expected))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["cell", "wall", "false positive", "false negative", "another class"]


def test_the_worst_images_are_no_neighbors():
    order = np.argsort(np.abs(np.arange(320) - 100))  # The worst are around one place.
    chosen = _apart(order)
    assert len(chosen) == 8
    assert chosen[0] == 100
    assert np.diff(np.sort(chosen)).min() >= 10
    assert _apart(np.array([2, 0, 1])).tolist() == [2, 0, 1]
