"""Scores of language models: bits per character compare across vocabularies."""

from __future__ import annotations

import numpy as np

from pipelines.predictions import Predictions
from pipelines.tasks.language_modeling.metrics import reduce, scores
from tests.pipelines.tasks.language_modeling import examples


def test_a_uniform_guess_scores_the_same_bits_whatever_is_unknown():
    """Hiding a word behind [UNK] is no way to fewer bits."""
    sets = {size: examples.loaded(examples.config(vocabulary=size)) for size in (10, 100)}
    found = {}
    for size, one in sets.items():
        log_probs = np.log(1 / len(one.tokenizer.vocabulary))
        shape = one.windows["test"].weights.shape
        columns = {"weight": one.windows["test"].weights, **one.raw("test")}
        answers = {"log_probabilities": np.full(shape, log_probs)}
        found[size] = scores(reduce(Predictions(columns, answers)))
    assert found[10]["perplexity"] < found[100]["perplexity"]
    assert found[10]["bits_per_character"] > found[100]["bits_per_character"]
