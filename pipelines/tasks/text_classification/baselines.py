"""Baselines of text classification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.svm import LinearSVC

from pipelines.baselines import class_probabilities
from pipelines.datasets.text_columns import PackedTexts

# Beyond these the baseline would take longer than the network.
_MAX_TEXTS = 50_000
_MAX_CHARACTERS = 4_000_000
_FEW_TEXTS = 100

# From texts, str [texts], to probabilities, float32 [texts, classes].
Classifier = Callable[[PackedTexts], np.ndarray]


def tfidf(texts: PackedTexts, labels: np.ndarray, classes: int) -> Classifier:
    """Fits multinomial logistic regression on the TF-IDF of words and pairs of words.

    At most 50,000 texts are used.

    Args:
        texts: str [texts].
        labels: int [texts].
        classes: Number of classes.
    """
    classifier = make_pipeline(
        _words(texts[:_MAX_TEXTS]), LogisticRegression(C=10.0, max_iter=1000)
    )
    classifier.fit(texts[:_MAX_TEXTS], labels[:_MAX_TEXTS])
    return lambda texts: class_probabilities(classifier, texts, classes)


def characters_tfidf(texts: PackedTexts, labels: np.ndarray, classes: int) -> Classifier:
    """Fits a linear support vector machine on the TF-IDF of words and of characters within words.

    Of words it takes pairs too, of characters runs of one to five (Joachims, "Text Categorization
    with Support Vector Machines", 1998; Wang & Manning, "Baselines and Bigrams", 2012). At most
    50,000 texts with four million characters are used. Probabilities are the softmax of margins,
    not calibrated.

    Args:
        texts: str [texts].
        labels: int [texts].
        classes: Number of classes.
    """
    texts = _few(texts)
    characters = TfidfVectorizer(**_characters(texts), sublinear_tf=True)
    features = make_union(_words(texts), characters)
    return _of_margins(make_pipeline(features, LinearSVC(C=0.3)), texts, labels, classes)


def character_counts(texts: PackedTexts, labels: np.ndarray, classes: int) -> Classifier:
    """Fits a linear support vector machine on how often runs of characters occur within words.

    Counts are as they are, where TF-IDF is of length 1 for every text. Everything else is as in
    `characters_tfidf`.
    """
    texts = _few(texts)
    counts = CountVectorizer(**_characters(texts), dtype=np.float32)
    return _of_margins(make_pipeline(counts, LinearSVC(C=0.01)), texts, labels, classes)


def _of_margins(
    classifier: Pipeline, texts: PackedTexts, labels: np.ndarray, classes: int
) -> Classifier:
    labels = labels[: len(texts)]
    if len(np.unique(labels)) < 2:
        return lambda texts: np.eye(classes, dtype=np.float32)[np.full(len(texts), labels[0])]
    classifier.fit(texts, labels)

    def classify(texts: PackedTexts) -> np.ndarray:
        margins = classifier.decision_function(texts)
        if margins.ndim == 1:  # Of two classes there is one margin.
            margins = np.stack([-margins, margins], axis=1)
        probabilities = np.zeros((len(texts), classes), np.float32)
        probabilities[:, classifier.classes_] = softmax(margins, axis=1)
        return probabilities

    return classify


def _few(texts: PackedTexts) -> np.ndarray:
    """Returns the first texts, at least one, as many as are used."""
    texts = texts[:_MAX_TEXTS]
    fitting = np.cumsum([len(text) for text in texts]) <= _MAX_CHARACTERS
    return texts[: max(1, int(fitting.sum()))]


def _characters(texts: PackedTexts) -> dict[str, Any]:
    return {"analyzer": "char_wb", "ngram_range": (1, 5), "min_df": _min_df(texts)}


def _words(texts: PackedTexts) -> Any:
    """Returns features of words and pairs of words, unfitted."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=_min_df(texts), sublinear_tf=True)
    seen: set[str] = set()
    analyze = vectorizer.build_analyzer()
    for text in texts:
        own = set(analyze(text))
        if not seen.isdisjoint(own):
            return vectorizer
        seen |= own
    return vectorizer.set_params(min_df=1)  # No word is in two texts.


def _min_df(texts: PackedTexts) -> int:
    """Returns in how many texts a feature has to be: with enough texts, those of one are noise."""
    return 2 if len(texts) >= _FEW_TEXTS else 1
