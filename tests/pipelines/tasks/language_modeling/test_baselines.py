"""Baselines of language modeling: n-gram models on the very tokens that a network predicts."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.tasks.language_modeling.baselines import baselines, ngram, ngram_of_best_order
from tests.pipelines.tasks.language_modeling import examples


def test_baselines_predict_the_same_tokens_of_the_same_documents():
    data = examples.loaded(examples.config())
    unigram, ngram = baselines(data, "words")
    assert unigram.name == "unigram"
    assert ngram.name.startswith("Kneser-Ney")
    tokens = data.streams["train"].tokens
    counts = np.bincount(tokens, minlength=len(data.tokenizer.vocabulary))
    test = data.streams["test"].tokens[1:]
    plain = np.exp(-np.log(counts[test] / counts.sum()).mean())
    assert unigram.test["perplexity"] == pytest.approx(plain, rel=0.05)


def test_the_order_is_that_from_which_validation_no_longer_improves():
    data = examples.loaded(examples.config())
    best = ngram_of_best_order(data, 5)
    tokens = data.streams["validation"].tokens
    means = [ngram(data, order).log_probabilities(tokens)[1:].mean() for order in range(1, 6)]
    assert best.order == next((n for n in range(2, 5) if means[n] <= means[n - 1]), 5)
    assert ngram_of_best_order(data, 2).order == 2
