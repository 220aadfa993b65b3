"""Masked language modeling: loss, accuracy and scores by hand, top tokens, and text."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.evaluation import intervals
from pipelines.predictions import Predictions
from pipelines.tasks.pretraining import masked_lm
from pipelines.text.tokenizers import SPECIAL

# Two texts with two masked tokens and one; token 0 is padding.
ORIGINAL = np.array([[7, 5], [6, 0]])
VOCABULARY = [*SPECIAL, "a", "b", "c", "##d", "e"]


def logits(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 2, 10)).astype(np.float32)


def log_softmax(values: np.ndarray) -> np.ndarray:
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def test_loss_and_accuracy_are_means_over_the_masked_tokens():
    values = logits()
    values[0, 0, 7] += 9  # The one correct token.
    values[1, 1, 0] += 9  # Padding does not count.
    log_p = log_softmax(values)
    expected = -np.mean([log_p[0, 0, 7], log_p[0, 1, 5], log_p[1, 0, 6]])
    assert float(masked_lm.loss()(ORIGINAL, values)) == pytest.approx(expected, rel=1e-5)
    accuracy = masked_lm.MaskedAccuracy()
    accuracy.update_state(ORIGINAL, values)
    correct = [values[0, 0].argmax() == 7, values[0, 1].argmax() == 5, values[1, 0].argmax() == 6]
    assert float(accuracy.result()) == pytest.approx(np.mean(correct))


def test_scores_are_those_of_the_masked_tokens():
    values = logits()
    predicted = {k: x.numpy() for k, x in masked_lm.predict(tf.constant(values), ORIGINAL).items()}
    log_p = log_softmax(values)
    np.testing.assert_array_equal(predicted["token"], values.argmax(-1))
    np.testing.assert_allclose(predicted["score"], np.exp(log_p.max(-1)), rtol=1e-5)
    predictions = Predictions({"masked_lm": ORIGINAL}, predicted)
    predictions = predictions.reduced(masked_lm.statistics(predictions))
    scores = masked_lm.scores(predictions)
    surprisal = -np.mean([log_p[0, 0, 7], log_p[0, 1, 5], log_p[1, 0, 6]])
    correct = (values.argmax(-1) == ORIGINAL)[ORIGINAL > 0].mean()
    assert scores["masked_lm_perplexity"] == pytest.approx(np.exp(surprisal), rel=1e-5)
    assert scores["masked_lm_accuracy"] == pytest.approx(correct)
    assert intervals(masked_lm.scores, predictions).keys() == scores.keys()


def test_there_are_no_top_tokens_where_there_is_no_mask():
    positions = np.array([[3, 4], [2, 0]], np.int32)
    values = logits(1)
    found = {k: x.numpy() for k, x in masked_lm.top_k(tf.constant(values), positions).items()}
    assert found["guesses"].shape == found["scores"].shape == (2, 2, masked_lm.TOP_K)
    assert found["guesses"][0, 1].tolist() == np.argsort(-values[0, 1])[:5].tolist()
    assert (np.diff(found["scores"][0]) <= 0).all()
    assert not found["guesses"][1, 1].any()
    assert not found["scores"][1, 1].any()
    arrays = masked_lm.top_k_arrays(values, positions)
    np.testing.assert_array_equal(arrays["guesses"], found["guesses"])
    np.testing.assert_allclose(arrays["scores"], found["scores"], rtol=1e-5)
    assert arrays["guesses"].dtype == found["guesses"].dtype == np.int32


def test_tokens_are_joined_to_words():
    tokens = np.array([2, 5, 8, 9, 3])
    assert masked_lm.detokenize(VOCABULARY, tokens) == "[CLS] ad e [SEP]"
    assert masked_lm.detokenize(VOCABULARY, tokens, range(1, 4), {3: "____"}) == "ad ____"


def test_the_accuracy_can_be_stored_with_a_model():
    accuracy = masked_lm.accuracy()
    config = keras.saving.serialize_keras_object(accuracy)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, masked_lm.MaskedAccuracy)


def test_samples_show_predicted_tokens_in_their_places(bert):
    text = bert.task.sampler(bert.network, bert.data)()
    assert len(text.split("\n\n")) == 5
    assert ", not " in text
