"""Classification of images and texts: loss, scores, figures, and the `classify` signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import figures as plots
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.task import ByClass

# Examples whose probabilities are in memory at once.
_CHUNK = 1 << 14


def loss() -> keras.Loss:
    """Returns cross-entropy of logits with integer labels."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@keras.saving.register_keras_serializable(package="pipelines")
class Accuracy(keras.metrics.SparseCategoricalAccuracy):
    """Accuracy with regard to labels [batch], or to the class of most probability [batch, classes].

    Training with mixed images has targets of the second kind, validation of the first.
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1] > 1:
            y_true = keras.ops.argmax(y_true, axis=-1)
        super().update_state(y_true, y_pred, sample_weight)


def accuracy() -> keras.Metric:
    """Returns accuracy, to follow in training."""
    return Accuracy(name="accuracy")


def probabilities(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Turns logits [batch, classes] into probabilities of the same shape."""
    return {"probabilities": tf.nn.softmax(logits)}


def scores(predictions: Predictions) -> Scores:
    """Scores "probabilities" [examples, classes] against "target" [examples].

    All of a split are kept for it, as the area under a ROC curve is no function of sums.

    Returns:
        accuracy; macro_f1; auc, the mean over classes of the area under the ROC curve of each
        against all others (of classes that occur); log_loss; calibration_error.
    """
    truth = predictions.examples["target"]
    probabilities = predictions.predicted["probabilities"]
    totals, predicted, confidence, of_truth = _by_example(probabilities, truth)
    right = predicted == truth
    # In NumPy: scikit-learn's checks of its arguments would take most of the bootstrap's time.
    true_counts, predicted_counts, hits = (
        np.bincount(labels, minlength=probabilities.shape[-1])
        for labels in (truth, predicted, truth[right])
    )
    present = np.flatnonzero(true_counts)
    areas = []
    for label in present if len(present) > 1 else ():
        of_label = probabilities[:, label].astype(np.float64) / totals
        areas.append(_area(of_label[truth == label], of_label[truth != label]))
    f1 = 2 * hits / np.maximum(true_counts + predicted_counts, 1)
    likelihood = np.maximum(of_truth, np.finfo(np.float64).eps)
    return {
        "accuracy": float(right.mean()),
        "macro_f1": float(f1[present].mean()),
        "auc": float(np.mean(areas)) if areas else float("nan"),
        "log_loss": float(-np.log(likelihood).mean()),
        "calibration_error": calibration_error(confidence, right),
    }


def _by_example(probabilities: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Returns the sum of each example's probabilities; and, once they sum up to 1, the class of
    the highest, that one, and that of the true class. All are [examples]."""
    found = []
    for start in range(0, len(truth), _CHUNK):
        part = probabilities[start : start + _CHUNK].astype(np.float64)
        totals = part.sum(-1)
        part /= totals[:, np.newaxis]
        true = part[np.arange(len(part)), truth[start : start + _CHUNK]]
        found.append((totals, part.argmax(-1), part.max(-1), true))
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def _area(positive: np.ndarray, negative: np.ndarray) -> float:
    """Returns the area under the ROC curve (Hanley & McNeil 1982); a tie counts half."""
    negative = np.sort(negative)
    below = np.searchsorted(negative, positive, "left")
    not_above = np.searchsorted(negative, positive, "right")
    return float((below + not_above).mean() / (2 * len(negative)))


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Returns the expected calibration error.

    Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3: the mean over bins
    of equal width of |accuracy - confidence|, weighted by the examples in each.

    Args:
        confidence: float [examples], probability of the predicted class.
        right: bool [examples], whether the prediction was right.
        bins: Number of bins.
    """
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(index, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def figures(
    test: Predictions, class_names: Sequence[str], *, counted: str
) -> Iterator[tuple[str, Figure]]:
    """Yields the confusion matrix and the reliability diagram of predictions on test.

    Args:
        test: "target" and "probabilities" of the test split.
        class_names: In the order of the labels.
        counted: What an example is, as "images".
    """
    truth, probabilities = test.examples["target"], test.predicted["probabilities"]
    predicted = probabilities.argmax(-1)
    yield (
        "confusion_matrix",
        plots.confusion_matrix(truth, predicted, class_names, counted=counted),
    )
    yield "reliability", reliability(probabilities.max(-1), predicted == truth, counted=counted)


def reliability(confidence: np.ndarray, right: np.ndarray, *, counted: str) -> Figure:
    """Plots `figures.reliability` with the error that `calibration_error` returns."""
    error = calibration_error(confidence, right)
    return plots.reliability(confidence, right, error, counted=counted)


def by_class(test: Predictions, class_names: Sequence[str], counted: str) -> ByClass:
    """Returns the recall of each class that occurs in test.

    Args:
        test: "target" [examples] and "probabilities" [examples, classes].
        class_names: In the order of the classes.
        counted: What examples are, as "images".
    """
    truth = test.examples["target"]
    right = test.predicted["probabilities"].argmax(-1) == truth
    counts = np.bincount(truth, minlength=len(class_names))
    hits = np.bincount(truth[right], minlength=len(class_names))
    return ByClass(
        "recall",
        counted,
        {
            name: (float(hits[index] / counts[index]), int(counts[index]))
            for index, name in enumerate(class_names)
            if counts[index]
        },
    )


def named(probabilities: tf.Tensor, class_names: Sequence[str]) -> dict[str, tf.Tensor]:
    """Returns probabilities [batch, classes] with the name of the most probable class [batch]."""
    return {
        "probabilities": probabilities,
        "classes": tf.gather(tf.constant(class_names), tf.argmax(probabilities, -1)),
    }


def named_arrays(probabilities: np.ndarray, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the expected outputs of `named`, computed by NumPy."""
    return {
        "probabilities": probabilities,
        "classes": np.array([class_names[i].encode() for i in probabilities.argmax(-1)], object),
    }


def classify(
    predict: Callable[[tf.Tensor], tf.Tensor],
    feature: str,
    values: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    **options: Any,
) -> Signature:
    """Returns the signature `classify`, which reads `tf.Example` messages.

    Args:
        predict: From a string feature [batch] to probabilities [batch, classes].
        feature: The feature's name in the `tf.Example`.
        values: bytes [examples] of the feature, to verify the signature with.
        probabilities: float32 [examples, classes], the Keras model's probabilities for them.
        class_names: In the order of the labels.
        **options: Further attributes of the signature.
    """
    names = tf.constant(class_names)

    def function(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(inputs, {feature: tf.io.FixedLenFeature([], tf.string)})
        probabilities = predict(parsed[feature])
        return {"classes": tf.broadcast_to(names, tf.shape(probabilities)), "scores": probabilities}

    every_name = np.array([name.encode() for name in class_names], object)
    return Signature(
        "classify",
        function,
        {"inputs": tf.TensorSpec([None], tf.string)},
        {"inputs": np.array([tf_example({feature: value}) for value in values], object)},
        {"classes": np.broadcast_to(every_name, probabilities.shape), "scores": probabilities},
        **options,
    )


def tf_example(features: Mapping[str, bytes]) -> bytes:
    """Returns a serialized `tf.Example` with a string for each feature."""
    wrapped = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=wrapped)).SerializeToString()
