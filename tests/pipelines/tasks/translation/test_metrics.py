"""Scores of translation, against sacrebleu."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu

from pipelines import evaluation
from pipelines.predictions import Predictions
from pipelines.tasks.translation.metrics import reduce, scores, sentence_chrf

TARGETS = ["Dijo Dios: Sea la luz.", "Y fué la luz.", "Bueno era.", "No."]
FOUND = ["Dijo Dios: Sea la luz", "Y la luz fué buena.", "", "No."]


def predictions(found=FOUND, targets=TARGETS, **answers) -> Predictions:
    translations = np.array([text.encode() for text in found], object)
    return Predictions(
        {"target": np.array(targets, object)}, {"translation": translations, **answers}
    )


def test_bleu_and_chrf_are_sacrebleu_s():
    found = scores(reduce(predictions(), symbols=False))
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(FOUND, [TARGETS]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(FOUND, [TARGETS]).score)
    assert found["exact_match"] == 0.25
    assert found.keys() == {"bleu", "chrf", "exact_match"}


def test_resampled_scores_are_those_of_the_resampled_texts():
    order = np.array([1, 1, 3, 0])
    found = scores(reduce(predictions().take(order), symbols=False))
    texts, targets = ([column[i] for i in order] for column in (FOUND, TARGETS))
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(texts, [targets]).score)
    low, high = evaluation.intervals(scores, reduce(predictions(), symbols=False))["chrf"]
    assert low < scores(reduce(predictions(), symbols=False))["chrf"] < high


def test_each_text_has_its_own_chrf():
    expected = [
        sacrebleu.corpus_chrf([f], [[t]]).score for f, t in zip(FOUND, TARGETS, strict=True)
    ]
    np.testing.assert_allclose(sentence_chrf(predictions()), expected)


def test_the_error_rate_counts_edits_per_symbol_of_all_targets():
    texts, targets = ["G R EY", "K AE T S", ""], ["G R EY D", "K AE T", "AH"]
    found = scores(reduce(predictions(texts, targets), symbols=True))
    assert found["token_error_rate"] == pytest.approx((1 + 1 + 1) / 8)
    assert found["exact_match"] == 0


def test_perplexity_is_per_target_token():
    answers = {
        "log_likelihood": np.array([-2.0, -4.0, -1.0, -1.0]),
        "shuffled": np.array([-8.0, -8.0, -8.0, -8.0]),
        "target_tokens": np.array([3, 3, 1, 1]),
    }
    found = scores(reduce(predictions(**answers), symbols=False))
    assert found["perplexity"] == pytest.approx(np.exp(1))
    assert found["shuffled_perplexity"] == pytest.approx(np.exp(4))
