"""Figures of semantic segmentation: pixel confusions, IoU by class, and masks over images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import figures as plots
from pipelines import style
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
# Mistakes: what is none of the class that is predicted, what is missed, one class for another.
_FALSE, _MISSED, _CONFUSED = np.array([(220, 38, 127), (100, 143, 255), (240, 228, 66)], np.uint8)
_VOID = np.array((204, 121, 167), np.uint8)


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
    title = f"Pixel accuracy {accuracy:.1%} on {len(test):,} test images"
    yield (
        "confusion_matrix",
        plots.normalized_confusion_matrix(counts, class_names, title=title, counted="pixels"),
    )
    of_classes = dict(zip(class_names, iou(by_class(counts)), strict=True))
    label = style.directed("IoU, 0 to 1", True, axis="x")
    yield "iou_by_class", plots.bars(of_classes, x_label=label, title="Test pixels by class")

    by_image = [
        mean(iou(by_class(confusion(*pair, classes)))) for pair in zip(truth, mask, strict=True)
    ]
    spaced = np.unique(np.linspace(0, len(test) - 1, _IMAGES).astype(int))
    for name, title, indices in (
        ("masks", "Test images", spaced),
        ("worst_masks", "Worst test images, neighbors left out", _apart(np.argsort(by_image))),
    ):
        captions = [f"mean IoU {by_image[index]:.3f}" for index in indices]
        images = np.stack(images_at(examples, test.rows[indices]))
        figure = _masks(images, truth[indices], mask[indices], class_names, captions, title)
        yield name, figure


def _apart(order: np.ndarray) -> np.ndarray:
    """Returns the first images of an order, none near another one in the split.

    Neighbors are often slices of one volume or frames of one film, and look the same.
    """
    distance = max(1, len(order) // (4 * _IMAGES))
    chosen: list[int] = []
    for index in order.tolist():
        if len(chosen) < _IMAGES and all(abs(index - other) >= distance for other in chosen):
            chosen.append(index)
    return np.array(chosen)


def augmented_masks(images: np.ndarray, masks: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Plots augmented training images with their masks, and what is void.

    Args:
        images: uint8 [images, height, width, channels].
        masks: uint8 [images, height, width].
        class_names: In the order of the classes.
    """
    colors = palette(class_names)
    truth = overlay(images, masks, colors).numpy()
    rows = {"image": images, "mask": np.where((masks == IGNORE_ID)[..., None], _VOID, truth)}
    return plots.image_rows(
        rows,
        [""] * len(images),
        legend={**_legend(class_names, colors), "void": _VOID},
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
    # What has no color is the background.
    seen, there = colors[mask].any(-1), colors[truth].any(-1)
    mistakes = {
        "false positive": (wrong & seen & ~there, _FALSE),
        "false negative": (wrong & ~seen & there, _MISSED),
        "another class": (wrong & seen & there, _CONFUSED),
    }
    found = {name: color for name, (places, color) in mistakes.items() if places.any()}
    marked = images
    for places, color in mistakes.values():
        marked = np.where(places[..., np.newaxis], color, marked)
    rows = {
        "image": images,
        "truth": overlay(images, truth, colors).numpy(),
        "prediction": overlay(images, mask, colors).numpy(),
        "mistakes": marked,
    }
    legend = _legend(class_names, colors) | found
    return plots.image_rows(rows, captions, legend=legend, title=title)


def _legend(class_names: Sequence[str], colors: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the color of each class that has one."""
    return {name: color for name, color in zip(class_names, colors, strict=False) if color.any()}
