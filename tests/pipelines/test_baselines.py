"""Baselines: as good as a linear model is, whatever the images' size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pipelines import baselines
from pipelines.baselines import logistic_regression
from tests.pipelines import samples


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 7, 3), (48, 40, 3)])
def test_what_is_linear_is_learned_from_images_of_any_size(shape):
    data = samples.striped(shape)
    baseline = logistic_regression(data.train, data.validation, data.test)
    assert baseline.name == "logistic regression"
    assert baseline.validation == {"accuracy": 1.0}
    assert baseline.test == {"accuracy": 1.0}


def test_noise_is_not_learned():
    def noise(seed: int) -> tf.data.Dataset:
        random = np.random.default_rng(seed)
        images = random.integers(0, 256, (300, 4, 4, 1), np.uint8)
        return tf.data.Dataset.from_tensor_slices((images, random.integers(0, 3, 300)))

    baseline = logistic_regression(noise(1), noise(2), noise(3))
    for scores in (baseline.validation, baseline.test):
        assert scores["accuracy"] == pytest.approx(1 / 3, abs=0.12)


def test_each_split_has_its_own_score():
    data = samples.striped()
    wrong = data.test.map(lambda image, label: (image, (label + 1) % 3))
    half = data.validation.take(10).concatenate(
        data.validation.take(10).map(lambda image, label: (image, (label + 1) % 3))
    )
    baseline = logistic_regression(data.train, half, wrong)
    assert baseline.validation == {"accuracy": 0.5}
    assert baseline.test == {"accuracy": 0.0}


def test_only_so_many_training_images_are_used(monkeypatch):
    monkeypatch.setattr(baselines, "_MOST_EXAMPLES", 30)
    data = samples.striped()
    endless = replace(data, train=data.train.repeat())
    baseline = logistic_regression(endless.train, data.validation, data.test)
    assert baseline.validation == {"accuracy": 1.0}
