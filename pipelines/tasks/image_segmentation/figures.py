"""Figures of semantic segmentation: pixel confusions, IoU by class, and masks over images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import figures as plots
from pipelines.image.examples import images_at
from pipelines.predictions import Predictions
from pipelines.tasks.image_segmentation.data import IGNORE_ID
from pipelines.tasks.image_segmentation.metrics import (
    by_class,
    confusion,
    iou,
    mean,
    total_confusion,
)
from pipelines.tasks.image_segmentation.overlay import overlay, palette

_IMAGES = 8
_RED = np.array((255, 0, 0), np.uint8)


def figures(
    test: Predictions, examples: tf.data.Dataset, class_names: Sequence[str]
) -> Iterator[tuple[str, Figure]]:
    """Yields pixel confusions, the IoU of each class, and masks over test images.

    Args:
        test: "target" and "mask" of the test split.
        examples: The test split, for its images.
        class_names: In the order of the classes.
    """
    truth, mask, classes = test.examples["target"], test.predicted["mask"], len(class_names)
    counts = total_confusion(truth, mask, classes)
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    title = f"Pixel accuracy {accuracy:.1%} on test"
    yield "confusion_matrix", plots.normalized_confusion_matrix(counts, class_names, title=title)
    of_classes = dict(zip(class_names, iou(by_class(counts)), strict=True))
    yield "iou_by_class", plots.bars(of_classes, x_label="IoU on test", title="IoU by class")

    by_image = [
        mean(iou(by_class(confusion(*pair, classes)))) for pair in zip(truth, mask, strict=True)
    ]
    spaced = np.unique(np.linspace(0, len(test) - 1, _IMAGES).astype(int))
    for name, title, indices in (
        ("masks", "Test images", spaced),
        ("worst_masks", "Worst test images", np.argsort(by_image)[:_IMAGES]),
    ):
        captions = [f"mean IoU {by_image[index]:.3f}" for index in indices]
        images = np.stack(images_at(examples, test.rows[indices]))
        figure = _masks(images, truth[indices], mask[indices], class_names, captions, title)
        yield name, figure


def augmented_masks(images: np.ndarray, masks: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Plots augmented training images with their masks; what is void is red.

    Args:
        images: uint8 [images, height, width, channels].
        masks: uint8 [images, height, width].
        class_names: In the order of the classes.
    """
    colors = palette(class_names)
    truth = overlay(images, masks, colors).numpy()
    rows = {"image": images, "mask": np.where((masks == IGNORE_ID)[..., None], _RED, truth)}
    return plots.image_rows(
        rows,
        [""] * len(images),
        legend={**_legend(class_names, colors), "void": _RED},
        title="Training images, augmented, as the network sees them",
    )


def _masks(
    images: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    class_names: Sequence[str],
    captions: Sequence[str],
    title: str,
) -> Figure:
    """Plots images, uint8 [images, height, width, channels], with true and predicted masks."""
    colors = palette(class_names)
    wrong = (truth != mask) & (truth != IGNORE_ID)
    rows = {
        "image": images,
        "truth": overlay(images, truth, colors).numpy(),
        "prediction": overlay(images, mask, colors).numpy(),
        "mistakes": np.where(wrong[..., np.newaxis], _RED, images),
    }
    return plots.image_rows(rows, captions, legend=_legend(class_names, colors), title=title)


def _legend(class_names: Sequence[str], colors: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the color of each class that has one."""
    return {name: color for name, color in zip(class_names, colors, strict=False) if color.any()}
