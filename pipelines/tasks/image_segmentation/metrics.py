"""Scores of semantic segmentation, from counts of pixels by class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.image_segmentation.data import IGNORE_ID

# With more classes than these, the scores of single classes are left out.
_MAX_NAMED = 20


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts pixels by true and predicted class.

    Args:
        truth: uint8 [...]; pixels with the value `IGNORE_ID` do not count.
        predicted: uint8 [...], of the same shape.
        classes: Number of classes.

    Returns:
        int64 [classes, classes]: a row for each true class, a column for each predicted one.
    """
    counted = truth != IGNORE_ID
    pairs = truth[counted].astype(np.int64) * classes + predicted[counted]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def total_confusion(
    truth: Iterable[np.ndarray], predicted: Iterable[np.ndarray], classes: int
) -> np.ndarray:
    """Returns the `confusion` of all images together, int64 [classes, classes]."""
    counts = np.zeros((classes, classes), np.int64)
    for one, other in zip(truth, predicted, strict=True):
        counts += confusion(one, other, classes)
    return counts


def by_class(counts: np.ndarray) -> np.ndarray:
    """Returns what scores need of a `confusion`, int64 [3, classes].

    That is by class the pixels that are rightly predicted, truly, and at all of it.
    """
    return np.stack([np.diag(counts), counts.sum(1), counts.sum(0)])


def reduce(predictions: Predictions, classes: int) -> Predictions:
    """Reduces "mask" and "target", uint8 [examples, height, width], to counts "pixels"."""
    pairs = zip(predictions.examples["target"], predictions.predicted["mask"], strict=True)
    pixels = np.stack([by_class(confusion(*pair, classes)) for pair in pairs])
    return predictions.reduced({"pixels": pixels})


def iou(pixels: np.ndarray) -> np.ndarray:
    """Returns each class's intersection over union; NaN if it is neither true nor predicted.

    Args:
        pixels: [3, classes], as `by_class` returns them.
    """
    right, true, predicted = pixels
    return _ratio(right, true + predicted - right)


def scores(pixels: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Scores the pixels of all images together.

    Args:
        pixels: [3, classes], as `by_class` returns them.
        class_names: In the order of the classes.

    Returns:
        mean_iou and dice, the means over the classes that are true or predicted for some pixel;
        pixel_accuracy; and iou_NAME of each class where there are at most 20.
    """
    each = iou(pixels)
    right, true, predicted = pixels
    dice = _ratio(2 * right, true + predicted)
    values = {
        "mean_iou": mean(each),
        "dice": mean(dice),
        "pixel_accuracy": float(_ratio(right.sum(), true.sum())),
    }
    if len(class_names) <= _MAX_NAMED:
        # Characters that MLflow does not allow in a metric's name become "_".
        names = [re.sub(r"[^\w.-]", "_", name) for name in class_names]
        values |= {f"iou_{name}": float(x) for name, x in zip(names, each, strict=True)}
    return values


def _ratio(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def mean(values: np.ndarray) -> float:
    """Returns the mean of the values that are not NaN; NaN where all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
