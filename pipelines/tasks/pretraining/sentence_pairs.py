"""Sentence-pair objectives: whether the second of two segments follows the first.

Label 0 is a second segment that follows; 1 is a random one for "next_sentence" (Devlin et al.
2019), and swapped segments for "sentence_order" (Lan et al. 2020).
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from pipelines.predictions import Predictions, Scores
from pipelines.text.config import is_encoder
from pipelines.text.pretrained import family

# By the family of an architecture, the objective of its paper.
_OF_FAMILY = {"bert": "next_sentence", "albert": "sentence_order"}

# Names of the labels.
CLASSES = {"next_sentence": ("follows", "is random"), "sentence_order": ("follows", "precedes")}


def published_task(architecture: str) -> str:
    """Returns the sentence-pair objective of an architecture's paper; "" where it has none."""
    return _OF_FAMILY.get(family(architecture), "") if is_encoder(architecture) else ""


def loss() -> keras.Loss:
    """Returns the cross-entropy of the labels."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def accuracy() -> keras.Metric:
    """Returns the accuracy of the labels."""
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")


def probability(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the "probability" that the second segment follows, [batch], of [batch, 2]."""
    return {"probability": tf.nn.softmax(logits)[:, 0]}


def labels(predictions: Predictions) -> np.ndarray:
    """Returns the predicted labels, int64 [examples]."""
    return (predictions.predicted["probability"] < 0.5).astype(np.int64)


def statistics(predictions: Predictions, sentence_task: str) -> dict[str, np.ndarray]:
    """Returns what `scores` sums up: whether pairs are right, [examples]."""
    return {"right_pairs": predictions.examples[sentence_task] == labels(predictions)}


def scores(predictions: Predictions, sentence_task: str) -> Scores:
    """Returns the accuracy by the `statistics` of examples, as "next_sentence_accuracy"."""
    return {f"{sentence_task}_accuracy": predictions.mean("right_pairs")}
