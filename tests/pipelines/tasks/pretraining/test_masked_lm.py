"""Guesses: scores by hand, loss and accuracy over what is hidden, and what is certain."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.evaluation import intervals
from pipelines.predictions import Predictions
from pipelines.tasks.pretraining import masked_lm
from pipelines.text.tokenizers import SPECIAL, WordPieces

# Two texts with two hidden tokens and one; token 0 is no token.
HIDDEN = np.array([[7, 5], [6, 0]])
VOCABULARY = [*SPECIAL, "a", "b", "c", "##d", "e"]


def logits(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 2, 10)).astype(np.float32)


def log_softmax(values: np.ndarray) -> np.ndarray:
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def test_loss_and_accuracy_are_means_over_the_hidden_tokens():
    given = logits()
    given[0, 0, 7] += 9  # The one right guess.
    given[1, 1, 0] += 9  # Padding is no guess.
    chance = log_softmax(given)
    expected = -np.mean([chance[0, 0, 7], chance[0, 1, 5], chance[1, 0, 6]])
    assert float(masked_lm.loss()(HIDDEN, given)) == pytest.approx(expected, rel=1e-5)
    accuracy = masked_lm.GuessAccuracy()
    accuracy.update_state(HIDDEN, given)
    right = [given[0, 0].argmax() == 7, given[0, 1].argmax() == 5, given[1, 0].argmax() == 6]
    assert float(accuracy.result()) == pytest.approx(np.mean(right))


def test_scores_are_those_of_the_hidden_tokens():
    given = logits()
    answers = {k: x.numpy() for k, x in masked_lm.assessed(tf.constant(given), HIDDEN).items()}
    chance = log_softmax(given)
    np.testing.assert_array_equal(answers["guess"], given.argmax(-1))
    np.testing.assert_allclose(answers["score"], np.exp(chance.max(-1)), rtol=1e-5)
    predictions = Predictions({"masked_lm": HIDDEN}, answers)
    scores = masked_lm.scores(predictions)
    surprise = -np.mean([chance[0, 0, 7], chance[0, 1, 5], chance[1, 0, 6]])
    right = (given.argmax(-1) == HIDDEN)[HIDDEN > 0].mean()
    assert scores["masked_lm_perplexity"] == pytest.approx(np.exp(surprise), rel=1e-5)
    assert scores["masked_lm_accuracy"] == pytest.approx(right)
    assert intervals(masked_lm.scores, predictions).keys() == scores.keys()


def test_the_best_are_answered_and_nothing_where_no_mask_is():
    positions = np.array([[3, 4], [2, 0]], np.int32)
    given = logits(1)
    found = {k: x.numpy() for k, x in masked_lm.best(tf.constant(given), positions).items()}
    assert found["guesses"].shape == found["scores"].shape == (2, 2, masked_lm.GUESSES)
    assert found["guesses"][0, 1].tolist() == np.argsort(-given[0, 1])[:5].tolist()
    assert (np.diff(found["scores"][0]) <= 0).all()
    assert not found["guesses"][1, 1].any()
    assert not found["scores"][1, 1].any()
    by_hand = masked_lm.best_arrays(given, positions)
    np.testing.assert_array_equal(by_hand["guesses"], found["guesses"])
    np.testing.assert_allclose(by_hand["scores"], found["scores"], rtol=1e-5)
    assert by_hand["guesses"].dtype == found["guesses"].dtype == np.int32


def test_rows_whose_order_is_open_prove_nothing():
    given, positions = logits(2), np.array([[1, 2], [1, 0]], np.int32)
    assert masked_lm.decided(given, positions).tolist() == [True, True]
    tied = given.copy()
    tied[0, 1, :6] = 5.0
    assert masked_lm.decided(tied, positions).tolist() == [False, True]
    tied = given.copy()
    tied[1, 1, :6] = 5.0  # There is no mask there.
    assert masked_lm.decided(tied, positions).tolist() == [True, True]
    assert masked_lm.decided(np.zeros_like(given), positions).tolist() == [True, False]
    assert masked_lm.decided(given[:, :0], positions[:, :0]).tolist() == [True, True]


def test_masks_are_found_where_texts_are_read():
    tokenizer = WordPieces(VOCABULARY, 8)
    inputs, masks = masked_lm.with_masks(
        tokenizer, tf.constant(["a [MASK] cd [MASK]", "b", "a a a a a a [MASK]"])
    )
    # What is cut off with the end of a text is not asked about.
    assert masks.to_list() == [[2, 5], [], []]
    assert inputs["token_ids"][0].numpy().tolist() == [2, 5, 4, 7, 8, 4, 3]


def test_sentences_get_one_mask_or_two_or_none():
    texts = masked_lm.to_fill(np.array(["one two three four"] * 4 + ["one"], object))
    assert [text.count("[MASK]") for text in texts] == [1, 2, 1, 0, 0]


def test_tokens_are_spelled_as_words():
    tokens = np.array([2, 5, 8, 9, 3])
    assert masked_lm.spelled(VOCABULARY, tokens) == "[CLS] ad e [SEP]"
    assert masked_lm.spelled(VOCABULARY, tokens, range(1, 4), {3: "____"}) == "ad ____"


def test_the_accuracy_can_be_stored_with_a_model():
    accuracy = masked_lm.GuessAccuracy(name="accuracy")
    config = keras.saving.serialize_keras_object(accuracy)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, masked_lm.GuessAccuracy)
