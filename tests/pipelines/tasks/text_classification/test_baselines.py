"""Baselines of texts: words and pairs of words that mark a class are learned."""

from __future__ import annotations

import numpy as np

from pipelines.tasks.text_classification import baselines
from pipelines.tasks.text_classification.baselines import character_counts, characters_tfidf, tfidf

WORDS = {0: ("red", "rose"), 1: ("blue", "sky"), 3: ("green", "grass")}


def labeled_texts(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts in which one of two words marks the class, among random words."""
    random = np.random.default_rng(seed)
    labels = random.choice(list(WORDS), size)
    filler = random.choice([f"word{number}" for number in range(30)], (size, 6))
    texts = [
        " ".join([*words, random.choice(WORDS[label])])
        for words, label in zip(filler, labels, strict=True)
    ]
    return np.array(texts), labels


def test_words_that_mark_a_class_are_learned():
    predict = tfidf(*labeled_texts(1, 300), classes=4)
    texts, labels = labeled_texts(2, 50)
    probabilities = predict(texts)
    assert probabilities.shape == (50, 4)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(-1), labels)
    assert not np.any(probabilities[:, 2]), "a class that training lacks gets probability 0"


def test_pairs_of_words_are_learned():
    """The class depends on whether "not" precedes "good" or "bad"; the words are the same."""
    texts = np.array(["it is not good but bad", "it is good but not bad"] * 20)
    labels = np.array([0, 1] * 20)
    predict = tfidf(texts, labels, classes=2)
    probabilities = predict(np.array(["not good but bad", "good but not bad"]))
    assert probabilities.argmax(-1).tolist() == [0, 1]


def test_a_limited_number_of_training_texts_is_used(monkeypatch):
    monkeypatch.setattr(baselines, "_MAX_TEXTS", 100)
    texts, labels = labeled_texts(1, 200)
    labels[100:] = (labels[100:] + 1) % 4
    probabilities = tfidf(texts, labels, classes=4)(texts)
    np.testing.assert_array_equal(probabilities[:100].argmax(-1), labels[:100])
    assert np.mean(probabilities[100:].argmax(-1) == labels[100:]) < 0.1


def test_endings_that_mark_a_class_are_learned():
    """No word is in two texts."""
    random = np.random.default_rng(0)
    labels = np.tile([0, 2], 100)
    stems = ["".join(random.choice(list("bcdfgklmnprst"), 6)) for _ in labels]
    texts = np.array([stem + ("ing", "", "ed")[y] for stem, y in zip(stems, labels, strict=True)])
    probabilities = characters_tfidf(texts, labels, classes=3)(np.array(["zwxing", "qwxed"]))
    assert probabilities.argmax(-1).tolist() == [0, 2]
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    assert not probabilities[:, 1].any()
    tfidf(texts, labels, classes=3)(texts)  # Is no error.


def test_how_often_a_character_occurs_is_learned():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 150)
    texts = np.array(["x" * (1 + y) + "ab" * random.integers(1, 3) for y in labels])
    probabilities = character_counts(texts, labels, classes=3)(np.array(["xab", "xxxab", "xxab"]))
    assert probabilities.argmax(-1).tolist() == [0, 2, 1]


def test_a_single_class_is_always_predicted(monkeypatch):
    monkeypatch.setattr(baselines, "_MAX_CHARACTERS", 3)
    texts, labels = np.array(["one", "two"]), np.array([1, 0])
    assert characters_tfidf(texts, labels, classes=2)(texts).tolist() == [[0, 1], [0, 1]]


def test_texts_without_a_common_word_can_be_fitted_and_predicted():
    predict = tfidf(np.array(["one", "two", "three"]), np.array([0, 1, 1]), classes=2)
    np.testing.assert_allclose(predict(np.array(["one", "", "!"])).sum(-1), 1, rtol=1e-5)
