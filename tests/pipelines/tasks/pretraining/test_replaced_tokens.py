"""Replaced tokens: loss and scores by hand, the fixed corruption, and words."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.pretraining import replaced_tokens
from pipelines.text.tokenizers import SPECIAL, WordPieces

ORIGINAL = np.array([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
CORRUPTED = np.array([[2, 9, 6, 6, 3], [2, 8, 3, 0, 0]])
REAL = ORIGINAL > 0
ORDINARY = np.arange(10) > 4


def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=ORIGINAL.shape).astype(np.float32)


def both() -> np.ndarray:
    return np.stack([logits(), CORRUPTED.astype(np.float32)], -1)


def probabilities() -> np.ndarray:
    return 1 / (1 + np.exp(-logits().astype(np.float64)))


def test_the_loss_is_that_of_all_real_tokens():
    truth, told = (CORRUPTED != ORIGINAL)[REAL], probabilities()[REAL]
    loss = replaced_tokens.ReplacedTokenLoss(7.0)
    assert float(loss(ORIGINAL, both())) == pytest.approx(7 * log_loss(truth, told), rel=1e-5)
    assert type(loss).from_config(loss.get_config()).weight == 7.0
    huge = np.where(CORRUPTED != ORIGINAL, 1e4, -1e4).astype(np.float32)
    assert float(loss(ORIGINAL, np.stack([huge, CORRUPTED], -1))) == 0.0


def test_the_area_is_that_of_all_real_tokens():
    area = replaced_tokens.ReplacedTokenAUC(num_thresholds=2000)
    area.update_state(ORIGINAL, both())
    expected = roc_auc_score((CORRUPTED != ORIGINAL)[REAL], probabilities()[REAL])
    assert float(area.result()) == pytest.approx(expected, abs=2e-2)
    config = keras.saving.serialize_keras_object(area)
    assert isinstance(
        keras.saving.deserialize_keras_object(config), replaced_tokens.ReplacedTokenAUC
    )


def scores_of(predictions: Predictions) -> Scores:
    kept = replaced_tokens.detections(predictions, ORDINARY)
    return replaced_tokens.scores(predictions.reduced({}, kept))


def test_the_fixed_corruption_and_the_generator_s_have_scores_of_their_own():
    rows = {"replaced_token": np.tile(ORIGINAL, (2, 1)), "fixed_corruption": np.arange(4) > 1}
    corrupted = np.tile(CORRUPTED, (2, 1))
    corrupted[1, 1] = 9
    told = np.concatenate([probabilities()[::-1], probabilities()])
    predictions = Predictions(rows, {"replaced": told, "corrupted_ids": corrupted})
    scores = scores_of(predictions)
    plain = ORDINARY[ORIGINAL]
    truth, found = (CORRUPTED != ORIGINAL)[plain], probabilities()[plain]
    assert scores["replaced_token_auc"] == pytest.approx(roc_auc_score(truth, found))
    assert scores["replaced_token_f1"] == pytest.approx(f1_score(truth, found > 0.5))
    assert scores["replaced_token_accuracy"] == pytest.approx((truth == (found > 0.5)).mean())
    own = (corrupted != rows["replaced_token"])[:2][plain]
    assert scores["own_rate"] == pytest.approx(own.mean()) == 0.75
    assert scores["own_auc"] == pytest.approx(roc_auc_score(own, told[:2][plain]))
    nothing = Predictions(rows, {"replaced": told, "corrupted_ids": rows["replaced_token"]})
    assert scores_of(nothing) == {}


def test_every_example_comes_masked_and_with_a_fixed_corruption(electra):
    data = electra.data
    for split in ("validation", "test"):
        inputs, target = data.arrays(split)
        columns = data.raw(split)
        fixed = columns["fixed_corruption"]
        assert fixed.tolist() == [False, True] * (data.sizes[split] // 2)
        original = target["replaced_token"]
        assert (original[0::2] == original[1::2]).all()
        assert (columns["block"][0::2] == columns["block"][1::2]).all()
        for row, tokens in zip(original, columns["original"], strict=True):
            assert row[: len(tokens)].tolist() == tokens.tolist()
        mask = data.vocabulary.index("[MASK]")
        masked = inputs["token_ids"][~fixed] == mask
        assert ((target["masked_lm"][~fixed] > 0).sum(1) == masked.sum(1)).all()
        # Tokens are replaced only where the other copy masks them, and no mask is left.
        changed = inputs["token_ids"][fixed] != original[fixed]
        assert changed.any()
        assert not (changed & ~masked).any()
        assert not (inputs["token_ids"][fixed] == mask).any()
        assert not target["masked_lm"][fixed].any()
        assert not inputs["mask_positions"][fixed].any()
    assert electra.task.load().digest == data.digest


def test_words_are_made_of_their_tokens():
    vocabulary = [*SPECIAL, "a", "##b", "c", ",", "##é"]
    tokenizer = WordPieces(vocabulary, 8)
    texts = ["ab  c, abb", "", "é a", "c c c c c abb"]
    inputs, *words = replaced_tokens.tokenize_words(tokenizer, tf.constant(texts))
    ids = inputs["token_ids"].to_tensor()
    assert ids.shape[1] == 8
    replaced = np.random.default_rng(0).random(ids.shape).astype(np.float32)
    found = replaced_tokens.by_word(tf.constant(texts), tf.constant(replaced), *words)
    found = {name: value.numpy() for name, value in found.items()}
    assert found["words"][0].tolist() == [b"ab", b"c", b",", b"abb", b"", b""]
    assert found["replaced"][0, :2].tolist() == [replaced[0, 1:3].max(), replaced[0, 3]]
    # A word that is truncated counts by the tokens that are left; others are left out.
    assert found["words"][3].tolist() == [b"c"] * 5 + [b"abb"]
    assert found["replaced"][3, 5] == replaced[3, 6]
    assert found["words"][1].tolist() == [b""] * 6
    for row, text in enumerate(texts):
        for word, start, end in zip(
            *(found[name][row] for name in ("words", "starts", "ends")), strict=True
        ):
            assert text.encode()[start:end] == word if start >= 0 else (word, end) == (b"", -1)
    by_hand = replaced_tokens.by_word_arrays(tokenizer, texts, replaced)
    for name, value in by_hand.items():
        assert value.tolist() == found[name].tolist()
        assert value.dtype == found[name].dtype
