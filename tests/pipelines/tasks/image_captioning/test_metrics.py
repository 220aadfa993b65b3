"""Scores of captions, against sacrebleu."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sacrebleu

from pipelines import evaluation
from pipelines.predictions import Predictions
from pipelines.tasks.image_captioning.cider import cider, document_frequencies
from pipelines.tasks.image_captioning.metrics import each_cider, reduce, scores

REFERENCES = [
    ("a 7 above two 3s", "two 3s below a 7"),
    ("a dog runs over the grass", "a brown dog runs", "the dog runs"),
    ("a cat",),
]
FOUND = ["Two 3s below a 7.", "a dog runs over a field", "a cow"]
FREQUENCIES = document_frequencies(REFERENCES)


def predictions(found=FOUND, **columns) -> Predictions:
    references = np.empty(len(REFERENCES), object)
    references[:] = REFERENCES
    captions = np.array([text.encode() for text in found], object)
    return Predictions({"references": references}, {"caption": captions, **columns})


def test_bleu_takes_all_references_and_is_that_of_sacrebleu():
    found = scores(reduce(predictions(), FREQUENCIES))
    plain = ["two 3s below a 7", *FOUND[1:]]
    streams: Any = [[own[i] if i < len(own) else None for own in REFERENCES] for i in range(3)]
    expected = sacrebleu.corpus_bleu(plain, streams, tokenize="none", force=True)
    assert found["bleu"] == pytest.approx(expected.score)
    assert found["exact_match"] == pytest.approx(1 / 3)
    means = [cider(*pair, FREQUENCIES) for pair in zip(FOUND, REFERENCES, strict=True)]
    assert found["cider"] == pytest.approx(np.mean(means))
    np.testing.assert_allclose(each_cider(predictions(), FREQUENCIES), means)
    assert "perplexity" not in found


def test_perplexity_is_that_of_all_tokens_together():
    columns = {
        "log_likelihood": np.array([-1.0, -2.0, -3.0]),
        "shuffled": np.array([-4.0, -2.0, -6.0]),
        "target_tokens": np.array([1, 2, 3]),
    }
    found = scores(reduce(predictions(**columns), FREQUENCIES))
    assert found["perplexity"] == pytest.approx(np.exp(1))
    assert found["shuffled_perplexity"] == pytest.approx(np.exp(2))


def test_every_score_has_an_interval():
    found = evaluation.intervals(scores, reduce(predictions(), FREQUENCIES))
    assert found.keys() == {"cider", "bleu", "exact_match"}
    low, high = found["exact_match"]
    assert 0 <= low < high <= 1
