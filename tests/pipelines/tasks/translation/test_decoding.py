"""Translation: the loss, and translations of nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.tasks.translation import decoding as translation
from pipelines.tasks.translation.decoding import SmoothedCrossEntropy


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_the_loss_is_keras_own_with_smoothed_targets(share):
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 3, 5)).astype("float32")
    ids, weight = random.integers(0, 5, (2, 3)), np.array([[1, 1, 1], [1, 0, 0]], "float32")
    loss = SmoothedCrossEntropy(share)
    known = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=share, reduction="none"
    )(np.eye(5)[ids], logits)
    expected = (np.asarray(known) * weight).sum() / weight.sum()
    assert float(loss(ids, logits, sample_weight=weight)) == pytest.approx(expected, rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(ids, logits)) == pytest.approx(float(loss(ids, logits)))


def test_what_has_no_words_is_translated_by_nothing():
    found = {
        "translation": tf.constant(["a", "b"]),
        "scores": tf.constant([[-1.0, -2.0], [-3.0, -4.0]]),
    }
    emptied = translation.of_nothing(tf.constant([False, True]), found)
    assert emptied["translation"].numpy().tolist() == [b"a", b""]
    np.testing.assert_array_equal(emptied["scores"], [[-1, -2], [0, 0]])


def test_encoder_decoders_translate_and_others_do_not():
    assert translation.translates("transformer_big")
    assert translation.translates("lstm_seq2seq")
    assert not translation.translates("gpt2_small")
