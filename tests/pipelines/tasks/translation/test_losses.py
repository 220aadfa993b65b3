"""The loss of translation, against Keras' own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipelines.tasks.translation.losses import SmoothedCrossEntropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_keras_own_with_smoothed_targets(smoothing):
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 3, 5)).astype("float32")
    ids, weight = random.integers(0, 5, (2, 3)), np.array([[1, 1, 1], [1, 0, 0]], "float32")
    loss = SmoothedCrossEntropy(smoothing)
    known = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction="none"
    )(np.eye(5)[ids], logits)
    expected = (np.asarray(known) * weight).sum() / weight.sum()
    assert float(loss(ids, logits, sample_weight=weight)) == pytest.approx(expected, rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(ids, logits)) == pytest.approx(float(loss(ids, logits)))
