"""Detection: loss and scores by hand, text that all runs share, and words put together again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from pipelines.predictions import Predictions
from pipelines.tasks.pretraining import masked_lm, replaced_tokens
from pipelines.tasks.pretraining.chunks import Tokens
from pipelines.tasks.pretraining.config import ElectraPretrainingConfig
from pipelines.tasks.pretraining.electra import ElectraPretraining
from pipelines.text.tokenizers import SPECIAL, WordPieces
from tests.pipelines.tasks.pretraining import examples

ORIGINAL = np.array([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
JUDGED = np.array([[2, 9, 6, 6, 3], [2, 8, 3, 0, 0]])
REAL = ORIGINAL > 0
PLAIN = np.arange(10) > 4


def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=ORIGINAL.shape).astype(np.float32)


def both() -> np.ndarray:
    return np.stack([logits(), JUDGED.astype(np.float32)], -1)


def chance() -> np.ndarray:
    return 1 / (1 + np.exp(-logits().astype(np.float64)))


def test_the_loss_is_that_of_all_real_tokens():
    truth, told = (JUDGED != ORIGINAL)[REAL], chance()[REAL]
    loss = replaced_tokens.DetectionLoss(7.0)
    assert float(loss(ORIGINAL, both())) == pytest.approx(7 * log_loss(truth, told), rel=1e-5)
    assert type(loss).from_config(loss.get_config()).weight == 7.0
    huge = np.where(JUDGED != ORIGINAL, 1e4, -1e4).astype(np.float32)
    assert float(loss(ORIGINAL, np.stack([huge, JUDGED], -1))) == 0.0


def test_the_area_is_that_of_all_real_tokens():
    area = replaced_tokens.DetectionAUC(num_thresholds=2000)
    area.update_state(ORIGINAL, both())
    expected = roc_auc_score((JUDGED != ORIGINAL)[REAL], chance()[REAL])
    assert float(area.result()) == pytest.approx(expected, abs=2e-2)
    config = keras.saving.serialize_keras_object(area)
    assert isinstance(keras.saving.deserialize_keras_object(config), replaced_tokens.DetectionAUC)


def test_scores_tell_the_text_of_all_runs_from_one_s_own():
    rows = {"replaced_token": np.tile(ORIGINAL, (2, 1)), "given": np.arange(4) > 1}
    judged = np.tile(JUDGED, (2, 1))
    judged[1, 1] = 9
    told = np.concatenate([chance()[::-1], chance()])
    predictions = Predictions(rows, {"replaced": told, "judged": judged})
    scores = replaced_tokens.scores(predictions, PLAIN)
    plain = PLAIN[ORIGINAL]
    truth, given = (JUDGED != ORIGINAL)[plain], chance()[plain]
    assert scores["replaced_token_auc"] == pytest.approx(roc_auc_score(truth, given))
    assert scores["replaced_token_f1"] == pytest.approx(f1_score(truth, given > 0.5))
    assert scores["replaced_token_accuracy"] == pytest.approx((truth == (given > 0.5)).mean())
    own = (judged != rows["replaced_token"])[:2][plain]
    assert scores["own_share"] == pytest.approx(own.mean()) == 0.75
    assert scores["own_auc"] == pytest.approx(roc_auc_score(own, told[:2][plain]))
    nothing = Predictions(rows, {"replaced": told, "judged": rows["replaced_token"]})
    assert replaced_tokens.scores(nothing, PLAIN) == {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    examples.store_documents(folder)
    return folder


def load(folder, **options):
    task = ElectraPretraining()
    return task, task.load(
        examples.config(folder, "electra_small", ElectraPretrainingConfig, **options)
    )


def test_every_example_comes_masked_and_with_tokens_put_in(folder):
    _, data = load(folder)
    for split in ("validation", "test"):
        inputs, target = masked_lm.arrays(data, split)
        columns = data.raw(split)
        given = columns["given"]
        assert given.tolist() == [False, True] * (data.sizes[split] // 2)
        original = target["replaced_token"]
        assert (original[0::2] == original[1::2]).all()
        assert (columns["block"][0::2] == columns["block"][1::2]).all()
        for row, tokens in zip(original, columns["original"], strict=True):
            assert row[: len(tokens)].tolist() == tokens.tolist()
        mask = data.tokenizer.vocabulary.index("[MASK]")
        hidden = inputs["token_ids"][~given] == mask
        assert ((target["masked_lm"][~given] > 0).sum(1) == hidden.sum(1)).all()
        # Tokens are put in only where the other copy hides them, and nothing is left to guess.
        changed = inputs["token_ids"][given] != original[given]
        assert changed.any()
        assert not (changed & ~hidden).any()
        assert not (inputs["token_ids"][given] == mask).any()
        assert not target["masked_lm"][given].any()
        assert not inputs["mask_positions"][given].any()
    again = load(folder, recipe=examples.RECIPE)[1]
    assert again.digest == data.digest


def test_baselines_answer_what_can_be_asked_before_training(folder):
    task, data = load(folder)
    prior, surprise = task.baselines(data)
    assert prior.test["replaced_token_auc"] == 0.5
    assert prior.test["replaced_token_f1"] == 0.0
    assert surprise.test["masked_lm_perplexity"] < prior.test["masked_lm_perplexity"]
    assert surprise.test["replaced_token_auc"] != 0.5
    assert prior.test.keys() == surprise.test.keys()
    assert "own_auc" not in surprise.test


def test_where_nothing_can_be_learned_nothing_is_surprising():
    """Of one document none is left to fit on, and of one word no other is drawn."""
    tokens = Tokens(np.full(600, 5, np.int32), np.arange(0, 601, 10), np.array([0, 60]))
    data: Any = SimpleNamespace(
        tokens={"train": tokens}, tokenizer=SimpleNamespace(vocabulary=range(6))
    )
    judge = replaced_tokens.by_surprise(data, np.arange(6) > 4)
    chance = judge(tokens.ids.reshape(60, 10))
    assert chance.shape == (60, 10)
    assert ((chance >= 0) & (chance <= 1)).all()


def test_words_are_put_together_again():
    vocabulary = [*SPECIAL, "a", "##b", "c", ",", "##é"]
    tokenizer = WordPieces(vocabulary, 8)
    texts = ["ab  c, abb", "", "é a", "c c c c c abb"]
    inputs, *words = replaced_tokens.words(tokenizer, tf.constant(texts))
    ids = inputs["token_ids"].to_tensor()
    assert ids.shape[1] == 8
    replaced = np.random.default_rng(0).random(ids.shape).astype(np.float32)
    found = replaced_tokens.of_words(tf.constant(texts), tf.constant(replaced), *words)
    found = {name: value.numpy() for name, value in found.items()}
    assert found["words"][0].tolist() == [b"ab", b"c", b",", b"abb", b"", b""]
    assert found["replaced"][0, :2].tolist() == [replaced[0, 1:3].max(), replaced[0, 3]]
    # A word that is cut counts by what is read of it; what is cut off whole is left out.
    assert found["words"][3].tolist() == [b"c"] * 5 + [b"abb"]
    assert found["replaced"][3, 5] == replaced[3, 6]
    assert found["words"][1].tolist() == [b""] * 6
    for row, text in enumerate(texts):
        for word, start, end in zip(
            *(found[name][row] for name in ("words", "starts", "ends")), strict=True
        ):
            assert text.encode()[start:end] == word if start >= 0 else (word, end) == (b"", -1)
    by_hand = replaced_tokens.of_words_by_hand(tokenizer, texts, replaced)
    for name, value in by_hand.items():
        assert value.tolist() == found[name].tolist()
        assert value.dtype == found[name].dtype
