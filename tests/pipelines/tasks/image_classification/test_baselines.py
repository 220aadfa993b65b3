"""Baselines of images of any size: they learn stripes, and no noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pipelines.predictions import Predictions
from pipelines.tasks.image_classification import baselines
from pipelines.tasks.image_classification.baselines import (
    logistic_regression,
    support_vector_machine,
)
from pipelines.tasks.image_classification.task import ImageClassification
from tests.pipelines import samples

METHODS = [logistic_regression, support_vector_machine]


def accuracy(predictions: Predictions) -> float:
    predicted = predictions.predicted["probabilities"].argmax(-1)
    return float(np.mean(predicted == predictions.examples["target"]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 7, 3), (48, 40, 3)])
def test_stripes_are_learned_from_images_of_any_size(shape, method):
    data = samples.striped(shape)
    predict = method(data.train, 3)
    for split in (data.validation, data.test):
        predictions = predict(split)
        probabilities = predictions.predicted["probabilities"]
        assert probabilities.shape == (len(split), 3)
        np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
        ((_, labels),) = split.batch(100).as_numpy_iterator()
        np.testing.assert_array_equal(predictions.examples["target"], labels)
        assert accuracy(predictions) == 1


def noise(seed: int) -> tf.data.Dataset:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (300, 4, 4, 1), np.uint8)
    return tf.data.Dataset.from_tensor_slices((images, random.integers(0, 3, 300)))


@pytest.mark.parametrize("method", METHODS)
def test_noise_is_not_learned(method):
    predict = method(noise(1), 3)
    for seed in (2, 3):
        assert accuracy(predict(noise(seed))) == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize("method", METHODS)
def test_classes_that_training_lacks_get_probability_0(method):
    data = samples.striped()
    two = data.train.filter(lambda image, label: label != 1)
    probabilities = method(two, 4)(data.test).predicted["probabilities"]
    assert probabilities.shape == (30, 4)
    assert not np.any(probabilities[:, [1, 3]])
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    assert probabilities[::3].argmax(-1).tolist() == [0] * 10
    assert probabilities[2::3].argmax(-1).tolist() == [2] * 10


def test_a_support_vector_machine_separates_what_is_not_linear():
    """Whether exactly one of two pixels is bright."""

    def examples(seed: int) -> tf.data.Dataset:
        random = np.random.default_rng(seed)
        bright = random.integers(0, 2, (200, 1, 2, 1))
        images = (200 * bright + random.integers(0, 50, bright.shape)).astype(np.uint8)
        return tf.data.Dataset.from_tensor_slices((images, bright.sum((1, 2, 3)) % 2))

    machine = support_vector_machine(examples(1), 2)
    assert machine
    assert accuracy(machine(examples(2))) == 1
    assert accuracy(logistic_regression(examples(1), 2)(examples(2))) < 0.7


@pytest.mark.parametrize(
    ("method", "limit"),
    [(logistic_regression, "_MAX_IMAGES"), (support_vector_machine, "_MAX_SVM_IMAGES")],
)
def test_a_limited_number_of_training_images_is_used(method, limit, monkeypatch):
    monkeypatch.setattr(baselines, limit, 30)
    data = samples.striped()
    endless = replace(data, train=data.train.repeat())
    assert accuracy(method(endless.train, 3)(data.test)) == 1


def test_a_class_with_fewer_examples_than_folds_has_no_support_vector_machine():
    data = samples.striped(sizes={"train": 14, "validation": 6, "test": 6})
    assert support_vector_machine(data.train, 3) is None
    (baseline,) = ImageClassification(samples.config()).baselines(data)
    assert baseline.name == "logistic regression"


def test_the_baselines_of_images_have_the_scores_of_the_network():
    found = ImageClassification(samples.config()).baselines(samples.striped())
    assert [b.name for b in found] == ["logistic regression", "support vector machine"]
    for baseline in found:
        for scores in (baseline.validation, baseline.test):
            assert set(scores) == {"accuracy", "macro_f1", "auc", "log_loss", "calibration_error"}
            assert scores["accuracy"] == scores["auc"] == 1
