"""Baselines: as good as a linear model is, whatever the images' size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines import baselines
from pipelines.baselines import Baseline, logistic_regression, scored, strongest, tfidf
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.image_classification.task import ImageClassification
from tests.pipelines import samples


def accuracy(predictions: Predictions) -> Scores:
    predicted = predictions.predicted["probabilities"].argmax(-1)
    return {"accuracy": float(np.mean(predicted == predictions.examples["target"]))}


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 7, 3), (48, 40, 3)])
def test_what_is_linear_is_learned_from_images_of_any_size(shape):
    data = samples.striped(shape)
    predict = logistic_regression(data.train, 3)
    for split in (data.validation, data.test):
        predictions = predict(split)
        chance = predictions.predicted["probabilities"]
        assert chance.shape == (len(split), 3)
        np.testing.assert_allclose(chance.sum(-1), 1, rtol=1e-5)
        ((_, labels),) = split.batch(100).as_numpy_iterator()
        np.testing.assert_array_equal(predictions.examples["target"], labels)
        assert accuracy(predictions) == {"accuracy": 1.0}


def test_noise_is_not_learned():
    def noise(seed: int) -> tf.data.Dataset:
        random = np.random.default_rng(seed)
        images = random.integers(0, 256, (300, 4, 4, 1), np.uint8)
        return tf.data.Dataset.from_tensor_slices((images, random.integers(0, 3, 300)))

    predict = logistic_regression(noise(1), 3)
    for seed in (2, 3):
        assert accuracy(predict(noise(seed)))["accuracy"] == pytest.approx(1 / 3, abs=0.12)


def test_classes_that_training_lacks_get_no_chance():
    data = samples.striped()
    two = data.train.filter(lambda image, label: label != 1)
    chance = logistic_regression(two, 4)(data.test).predicted["probabilities"]
    assert chance.shape == (30, 4)
    assert not np.any(chance[:, [1, 3]])
    np.testing.assert_allclose(chance.sum(-1), 1, rtol=1e-5)
    assert chance[::3].argmax(-1).tolist() == [0] * 10
    assert chance[2::3].argmax(-1).tolist() == [2] * 10


def test_each_split_has_its_own_score():
    data = samples.striped()
    wrong = data.test.map(lambda image, label: (image, (label + 1) % 3))
    half = data.validation.take(10).concatenate(
        data.validation.take(10).map(lambda image, label: (image, (label + 1) % 3))
    )
    predict, splits = logistic_regression(data.train, 3), {"validation": half, "test": wrong}
    baseline = scored("a baseline", accuracy, lambda split: predict(splits[split]))
    assert baseline == Baseline("a baseline", {"accuracy": 0.5}, {"accuracy": 0.0})


def test_the_baseline_of_images_has_the_scores_of_the_network():
    task = ImageClassification()
    (baseline,) = task.baselines(samples.striped())
    assert baseline.name == "logistic regression"
    for scores in (baseline.validation, baseline.test):
        assert set(scores) == {"accuracy", "macro_f1", "auc", "log_loss", "calibration_error"}
        assert scores["accuracy"] == scores["auc"] == 1


def test_only_so_many_training_images_are_used(monkeypatch):
    monkeypatch.setattr(baselines, "_MOST_EXAMPLES", 30)
    data = samples.striped()
    endless = replace(data, train=data.train.repeat())
    assert accuracy(logistic_regression(endless.train, 3)(data.test)) == {"accuracy": 1.0}


SCORES = st.lists(st.integers(0, 9), min_size=1, max_size=6)


@given(SCORES, st.booleans())
def test_the_strongest_baseline_is_the_best_on_validation_whatever_its_test(scores, greater):
    several = [
        Baseline(f"number {place}", {"score": score, "other": -score}, {"score": -score})
        for place, score in enumerate(scores)
    ]
    chosen = strongest(several, "score", greater)
    assert chosen in several
    assert chosen.validation["score"] == (max(scores) if greater else min(scores))


WORDS = {0: ("red", "rose"), 1: ("blue", "sky"), 3: ("green", "grass")}


def spoken(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts in which one or the other word tells the class, among words that tell nothing."""
    random = np.random.default_rng(seed)
    labels = random.choice(list(WORDS), size)
    filler = random.choice([f"word{number}" for number in range(30)], (size, 6))
    texts = [
        " ".join([*words, random.choice(WORDS[label])])
        for words, label in zip(filler, labels, strict=True)
    ]
    return np.array(texts), labels


def test_words_that_tell_the_class_are_learned():
    predict = tfidf(*spoken(1, 300), classes=4)
    texts, labels = spoken(2, 50)
    chance = predict(texts)
    assert chance.shape == (50, 4)
    np.testing.assert_allclose(chance.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(chance.argmax(-1), labels)
    assert not np.any(chance[:, 2]), "a class that training lacks gets no chance"


def test_pairs_of_words_are_learned():
    """Whether "not" comes before "good" or before "bad" tells the class; its words do not."""
    texts = np.array(["it is not good but bad", "it is good but not bad"] * 20)
    labels = np.array([0, 1] * 20)
    chance = tfidf(texts, labels, classes=2)(np.array(["not good but bad", "good but not bad"]))
    assert chance.argmax(-1).tolist() == [0, 1]


def test_only_so_many_training_texts_are_used(monkeypatch):
    monkeypatch.setattr(baselines, "_MOST_TEXTS", 100)
    texts, labels = spoken(1, 200)
    labels[100:] = (labels[100:] + 1) % 4
    chance = tfidf(texts, labels, classes=4)(texts)
    np.testing.assert_array_equal(chance[:100].argmax(-1), labels[:100])
    assert np.mean(chance[100:].argmax(-1) == labels[100:]) < 0.1


def test_texts_without_a_word_in_common_are_no_obstacle():
    predict = tfidf(np.array(["one", "two", "three"]), np.array([0, 1, 1]), classes=2)
    np.testing.assert_allclose(predict(np.array(["one", "", "!"])).sum(-1), 1, rtol=1e-5)
