"""Losses: label smoothing, class weights and penalties, against Keras' own and by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.recipe import Recipe
from pipelines.training import losses
from pipelines.training.losses import CrossEntropy

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(2, 3, 5)).astype("float32")
IDS = RANDOM.integers(0, 5, (2, 3))
WEIGHT = np.array([[1, 1, 1], [1, 0, 0]], "float32")


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_targets_are_those_of_keras(smoothing, reduction):
    own = CrossEntropy(smoothing, reduction=reduction)
    known = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=reduction
    )
    one_hot = np.eye(5, dtype="float32")[IDS]
    expected = float(known(one_hot, LOGITS, sample_weight=WEIGHT))
    assert float(own(IDS, LOGITS, sample_weight=WEIGHT)) == pytest.approx(expected, rel=1e-5)
    assert float(own(one_hot, LOGITS, sample_weight=WEIGHT)) == pytest.approx(expected, rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(own))
    assert float(again(IDS, LOGITS)) == pytest.approx(float(own(IDS, LOGITS)))


def test_without_smoothing_and_weights_ignored_targets_count_as_in_keras():
    known = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=3)
    ids = np.array([[3, 1, 0], [3, 3, 4]])
    own = CrossEntropy(ignore_class=3)
    assert float(own(ids, LOGITS)) == pytest.approx(float(known(ids, LOGITS)), rel=1e-5)
    weighted = float(known(ids, LOGITS, sample_weight=WEIGHT))
    assert float(own(ids, LOGITS, sample_weight=WEIGHT)) == pytest.approx(weighted, rel=1e-5)
    assert float(own(np.full((2, 3), 3), LOGITS)) == 0


def test_a_class_weight_multiplies_the_losses_of_its_class():
    weights = [0.0, 1.0, 2.0, 3.0, 0.5]
    known = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    expected = float(known(IDS, LOGITS, sample_weight=np.array(weights, "float32")[IDS]))
    own = CrossEntropy(class_weights=weights)
    assert float(own(IDS, LOGITS)) == pytest.approx(expected, rel=1e-5)
    one_hot = np.eye(5, dtype="float32")[IDS]
    assert float(own(one_hot, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_of_several_losses_those_of_classes_are_smoothed():
    """With what they ignore, and how they are averaged."""
    known = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-1, reduction="mean_with_sample_weight"
    )
    numbers = keras.losses.MeanSquaredError()
    own: Any = SimpleNamespace(
        config=SimpleNamespace(recipe=Recipe(label_smoothing=0.1)),
        loss=lambda data: {"start": known, "level": numbers},
    )
    nothing: Any = None
    changed = losses.loss(own, nothing, nothing)
    assert changed["level"] is numbers
    start = changed["start"]
    assert (start.smoothing, start.ignore_class) == (0.1, -1)
    assert start.reduction == "mean_with_sample_weight"
