"""Baselines: what a model must beat to be worth its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.evaluation import Predictions, Scores

# Beyond these the baseline would take longer than the network.
_MOST_EXAMPLES = 10_000
_MOST_TEXTS = 50_000
_LARGEST_SIDE = 32
_FEW_TEXTS = 100


@dataclass(frozen=True)
class Baseline:
    """A baseline's name and its scores on the validation and the test split."""

    name: str
    validation: Scores
    test: Scores


def scored(
    name: str,
    scores: Callable[[Predictions], Scores],
    predict: Callable[[str], Predictions],
) -> Baseline:
    """Scores what `predict` answers to the validation and to the test split, given their names."""
    return Baseline(name, scores(predict("validation")), scores(predict("test")))


def strongest(baselines: Sequence[Baseline], metric: str, greater_is_better: bool) -> Baseline:
    """Returns the baseline that is best on validation."""
    choose = max if greater_is_better else min
    return choose(baselines, key=lambda baseline: baseline.validation[metric])


def logistic_regression(
    train: tf.data.Dataset, classes: int
) -> Callable[[tf.data.Dataset], Predictions]:
    """Fits multinomial logistic regression on pixels.

    Images are shrunk to at most 32x32, and at most 10,000 training images are used.

    Args:
        train: (uint8 [height, width, channels], int64 []) examples.
        classes: Number of classes; those that `train` lacks are given no chance.

    Returns:
        A function from such examples to predictions: "probabilities", [examples, classes].
    """
    classifier = make_pipeline(StandardScaler(with_std=False), LogisticRegression(max_iter=1000))
    classifier.fit(*_pixels(train.take(_MOST_EXAMPLES)))

    def predict(examples: tf.data.Dataset) -> Predictions:
        pixels, labels = _pixels(examples)
        return Predictions(
            {"target": labels}, {"probabilities": _probabilities(classifier, pixels, classes)}
        )

    return predict


def tfidf(
    texts: np.ndarray, labels: np.ndarray, classes: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Fits multinomial logistic regression on the TF-IDF of words and pairs of words.

    At most 50,000 texts are used.

    Args:
        texts: str [texts].
        labels: int [texts].
        classes: Number of classes.

    Returns:
        A function from texts to probabilities [texts, classes].
    """
    # What one text says can be left out where there are others enough to have words in common.
    rarest = 2 if len(texts) >= _FEW_TEXTS else 1
    classifier = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=rarest, sublinear_tf=True),
        LogisticRegression(C=10.0, max_iter=1000),
    )
    classifier.fit(texts[:_MOST_TEXTS], labels[:_MOST_TEXTS])
    return lambda texts: _probabilities(classifier, texts, classes)


def _probabilities(classifier, inputs, classes: int) -> np.ndarray:
    chance = np.zeros((len(inputs), classes), np.float32)
    chance[:, classifier.classes_] = classifier.predict_proba(inputs)
    return chance


def _pixels(split: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    def shrink(image, label):
        height, width = (min(side, _LARGEST_SIDE) for side in image.shape[:2])
        image = tf.cast(image, tf.float32) / 255.0
        if image.shape[:2] != (height, width):
            image = tf.image.resize(image, (height, width), antialias=True)
        return tf.reshape(image, [-1]), label

    batches = list(split.map(shrink).batch(1024).as_numpy_iterator())
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])
