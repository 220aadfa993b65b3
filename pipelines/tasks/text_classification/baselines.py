"""Baselines of text classification."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from pipelines.baselines import class_probabilities

# Beyond these the baseline would take longer than the network.
_MAX_TEXTS = 50_000
_FEW_TEXTS = 100


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
    # With enough texts, words of a single text can be ignored.
    min_df = 2 if len(texts) >= _FEW_TEXTS else 1
    classifier = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=min_df, sublinear_tf=True),
        LogisticRegression(C=10.0, max_iter=1000),
    )
    classifier.fit(texts[:_MAX_TEXTS], labels[:_MAX_TEXTS])
    return lambda texts: class_probabilities(classifier, texts, classes)
