"""Figures of segmentation: the images and masks that they show."""

from __future__ import annotations

import numpy as np

from pipelines.predictions import Predictions
from pipelines.tasks.image_segmentation.data import IGNORE_ID
from pipelines.tasks.image_segmentation.figures import figures
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
    captions = [axes.get_title() for axes in plots["worst_masks"].axes if axes.get_title()]
    assert len(captions) == 8
    assert captions == sorted(captions)
    assert captions[2:] == ["mean IoU 1.000"] * 6
    images = [axes.images[0].get_array() for axes in plots["worst_masks"].axes]
    shown = [image for image, _ in data.test.as_numpy_iterator()]
    np.testing.assert_array_equal(images[0], shown[3].squeeze())
    np.testing.assert_array_equal(images[1], shown[7].squeeze())
    wrong = (truth != mask) & (truth != IGNORE_ID)
    np.testing.assert_array_equal((np.asarray(images[24]) == (255, 0, 0)).all(-1), wrong[3])
