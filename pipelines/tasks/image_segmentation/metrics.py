"""What segmentation needs: scores from confusions of pixels, coloured masks, baselines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines import figures
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.image_classification import data as images
from pipelines.tasks.image_segmentation import data as masks
from pipelines.tasks.image_segmentation.data import VOID

# Of more classes than these, scores do not name each.
_MOST_NAMED = 20
# What the baseline looks at around a pixel, and how many pixels it learns from.
_PATCH = 5
_MOST_IMAGES = 10_000
_MOST_PIXELS = 50_000
# Images in a picture, and the colour of mistakes.
_SHOWN = 8
_RED = np.array((255, 0, 0), np.uint8)


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts the pixels of each class that were taken for each class.

    Args:
        truth: uint8 [...]; pixels that are `VOID` do not count.
        predicted: uint8 [...], of the same shape.
        classes: Number of classes.

    Returns:
        int64 [classes, classes]: a row for each true class, a column for each predicted one.
    """
    some = truth != VOID
    pairs = truth[some].astype(np.int64) * classes + predicted[some]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def total(truth: Iterable[np.ndarray], predicted: Iterable[np.ndarray], classes: int) -> np.ndarray:
    """Returns the `confusion` of all images together, int64 [classes, classes]."""
    counts = np.zeros((classes, classes), np.int64)
    for one, other in zip(truth, predicted, strict=True):
        counts += confusion(one, other, classes)
    return counts


def iou(counts: np.ndarray) -> np.ndarray:
    """Returns intersection over union of each class, NaN for one that neither side has."""
    return _ratio(np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts))


def scores(counts: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Scores a confusion matrix of pixels.

    Args:
        counts: int [classes, classes], as `confusion` returns it.
        class_names: In the order of the classes.

    Returns:
        mean_iou and dice, the means over the classes that the truth or the answer has;
        pixel_accuracy; and, where the classes are not too many, iou_NAME of each.
    """
    each = iou(counts)
    dice = _ratio(2 * np.diag(counts), counts.sum(0) + counts.sum(1))
    values = {
        "mean_iou": _mean(each),
        "dice": _mean(dice),
        "pixel_accuracy": float(_ratio(np.trace(counts), counts.sum())),
    }
    if len(class_names) <= _MOST_NAMED:
        # What MLflow does not take in a metric's name becomes "_".
        names = [re.sub(r"[^\w.-]", "_", name) for name in class_names]
        values |= {f"iou_{name}": float(x) for name, x in zip(names, each, strict=True)}
    return values


def _ratio(part, whole) -> np.ndarray:
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    some = values[~np.isnan(values)]
    return float(some.mean()) if len(some) else float("nan")


def palette(class_names: Sequence[str]) -> np.ndarray:
    """Returns a colour for each value of a mask, uint8 [256, 3].

    Black, which `overlay` takes for none, are the class "background" and what is no class. The
    others are as far apart around the colour circle as they can be, every second one darker.
    """
    coloured = [number for number, name in enumerate(class_names) if name != "background"]
    order = np.arange(len(coloured))
    hues = (0.08 + order / max(len(order), 1)) % 1
    hsv = np.stack([hues, np.ones(len(order)), np.where(order % 2, 0.7, 1)], axis=1)
    colours = np.zeros((256, 3), np.uint8)
    colours[coloured] = np.round(255 * hsv_to_rgb(hsv))
    return colours


def overlay(image: tf.Tensor, mask: tf.Tensor, colours: np.ndarray) -> tf.Tensor:
    """Lays the colours of a mask over an image, half and half; where they are black it stays.

    Args:
        image: uint8 [..., height, width, 1 or 3].
        mask: uint8 [..., height, width].
        colours: uint8 [256, 3], as `palette` returns them.

    Returns:
        uint8 [..., height, width, 3].
    """
    colour = tf.gather(tf.constant(colours, tf.int32), tf.cast(mask, tf.int32))
    picture = tf.cast(image, tf.int32)
    shown = tf.reduce_any(colour > 0, -1, keepdims=True)
    # Whole numbers, so that every machine lays the same picture.
    return tf.cast(tf.where(shown, (picture + colour) // 2, picture), tf.uint8)


def drawn(encoded: tf.Tensor, mask: tf.Tensor, colours: np.ndarray) -> tf.Tensor:
    """Lays a mask over the picture it was found in.

    Args:
        encoded: string [], a PNG, JPEG, GIF or BMP file.
        mask: uint8 [height, width] of any size; stretched to the picture's.
        colours: uint8 [256, 3], as `palette` returns them.

    Returns:
        string [], a PNG file in colours, as large as the picture.
    """
    picture = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    picture.set_shape([None, None, 3])
    fitted = masks.resize(mask, tf.shape(picture)[:2])
    return tf.io.encode_png(overlay(picture, fitted, colours))


def pictures(
    test: Predictions, examples: tf.data.Dataset, class_names: Sequence[str]
) -> Iterator[tuple[str, Figure]]:
    """Yields confusions of pixels, each class's score, and images under their masks.

    Args:
        test: "target" and "mask" of the test split.
        examples: The split itself, for its images.
        class_names: In the order of the classes.
    """
    truth, mask, classes = test.examples["target"], test.predicted["mask"], len(class_names)
    counts = total(truth, mask, classes)
    right = np.trace(counts) / max(counts.sum(), 1)
    title = f"{right:.1%} of all test pixels are right"
    yield "confusion_matrix", figures.shares(counts, class_names, title=title)
    by_class = dict(zip(class_names, iou(counts), strict=True))
    yield "iou_by_class", figures.bars(by_class, x_label="IoU on test", title="Each class")

    each = [_mean(iou(confusion(*pair, classes))) for pair in zip(truth, mask, strict=True)]
    evenly = np.unique(np.linspace(0, len(test) - 1, _SHOWN).astype(int))
    for name, title, chosen in (
        ("masks", "Test images", evenly),
        ("worst_masks", "Worst test images", np.argsort(each)[:_SHOWN]),
    ):
        found = images.at(examples, chosen)
        shown = np.stack([found[index] for index in chosen])
        colours = palette(class_names)
        wrong = (truth[chosen] != mask[chosen]) & (truth[chosen] != VOID)
        rows = {
            "image": shown,
            "truth": overlay(shown, truth[chosen], colours).numpy(),
            "prediction": overlay(shown, mask[chosen], colours).numpy(),
            "mistakes": np.where(wrong[..., np.newaxis], _RED, shown),
        }
        legend = {n: c for n, c in zip(class_names, colours, strict=False) if c.any()}
        captions = [f"mean IoU {each[index]:.3f}" for index in chosen]
        yield name, figures.picture_rows(rows, captions, legend=legend, title=title)


def answered(examples: tf.data.Dataset, predict: Callable[[np.ndarray], np.ndarray]) -> Predictions:
    """Returns what `predict`, from an image to a mask, answers to (image, mask) examples."""
    pairs = [(mask, predict(image)) for image, mask in examples.as_numpy_iterator()]
    truth, predicted = zip(*pairs, strict=True)
    return Predictions({"target": np.stack(truth)}, {"mask": np.stack(predicted)})


def majority_class(train: tf.data.Dataset) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what answers the most frequent class of `train` for every pixel of an image."""
    counts = np.zeros(256, np.int64)
    for _, mask in train.as_numpy_iterator():
        counts += np.bincount(mask.ravel(), minlength=256)
    most = np.argmax(counts[:VOID])
    return lambda image: np.full(image.shape[:2], most, np.uint8)


def logistic_regression(
    train: tf.data.Dataset, size: int, seed: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """Fits multinomial logistic regression on single pixels.

    A pixel is described by the 5x5 patch around it, by the squares of that patch, and by its
    place in the image. About 50,000 pixels are drawn from at most 10,000 images.

    Args:
        train: (uint8 [height, width, channels], uint8 [height, width]) examples.
        size: Number of examples in `train`.
        seed: Seed of the draw.

    Returns:
        A function from an image to a mask, uint8 [height, width].
    """
    random = np.random.default_rng(seed)
    share = -(-_MOST_PIXELS // min(size, _MOST_IMAGES))
    features, classes = [], []
    for image, mask in train.take(_MOST_IMAGES).as_numpy_iterator():
        some = np.flatnonzero(mask != VOID)
        drawn = random.choice(some, min(share, len(some)), replace=False)
        features.append(_features(image)[drawn])
        classes.append(mask.ravel()[drawn])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3, max_iter=300))
    classifier.fit(np.concatenate(features), np.concatenate(classes))
    return lambda image: classifier.predict(_features(image)).reshape(image.shape[:2])


def _features(image: np.ndarray) -> np.ndarray:
    """Describes each pixel of uint8 [height, width, channels] as float32 [pixels, features]."""
    height, width, _ = image.shape
    border = _PATCH // 2
    padded = np.pad(image / np.float32(255), ((border, border), (border, border), (0, 0)), "edge")
    patches = sliding_window_view(padded, (_PATCH, _PATCH), axis=(0, 1)).reshape(height * width, -1)
    y, x = (side.ravel() for side in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    place = np.stack([y, x, y * y, x * x, x * y], axis=1)
    return np.concatenate([patches, patches**2, place], axis=1, dtype=np.float32)
