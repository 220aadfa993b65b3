"""Baselines of language modeling: n-gram models."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipelines.baselines import Baseline, scored
from pipelines.predictions import Predictions
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.tasks.language_modeling.metrics import reduce, scores
from pipelines.tasks.language_modeling.ngrams import KneserNey

# Beyond these, counting n-grams would take longer than training.
_MAX_TOKENS = 20_000_000
_MAX_ORDERS = {"characters": 12, "words": 5, "word_pieces": 6, "byte_pairs": 6}


def baselines(data: RunningText, unit: str) -> list[Baseline]:
    """Returns a unigram model and, last, the n-gram model whose order is best on validation.

    Args:
        data: At most 20 million of its training tokens are counted.
        unit: Unit of prediction: "characters", "words", "word_pieces" or "byte_pairs".
    """
    unigram, best = ngram(data, 1), ngram_of_best_order(data, _MAX_ORDERS[unit])
    return [
        _scored("unigram", unigram, data),
        _scored(f"Kneser-Ney {best.order}-gram", best, data),
    ]


def ngram(data: RunningText, order: int) -> KneserNey:
    """Returns an n-gram model of the training split."""
    tokens = data.streams["train"].tokens[:_MAX_TOKENS]
    return KneserNey(tokens, len(data.tokenizer.vocabulary), order)


def ngram_of_best_order(data: RunningText, max_order: int) -> KneserNey:
    """Returns the n-gram model of the order above which validation does not improve."""
    best, log_prob = ngram(data, 1), -np.inf
    for order in range(2, max_order + 1):
        higher = ngram(data, order)
        found = higher.log_probabilities(data.streams["validation"].tokens)[1:].mean()
        if found <= log_prob:
            break
        best, log_prob = higher, found
    return best


def _scored(name: str, model: KneserNey, data: RunningText) -> Baseline:
    """Scores an n-gram model on the tokens that a network is scored on."""

    def predict(split: str) -> Iterator[Predictions]:
        log_probs = model.log_probabilities(data.streams[split].tokens)
        done = 0
        for windows in data.windows[split].parts():
            rows = slice(done, done + len(windows.starts))
            done = rows.stop
            yield Predictions(
                {
                    "weight": windows.weights,
                    **{name: column[rows] for name, column in data.raw(split).items()},
                },
                {"log_probabilities": windows.cut(log_probs)[:, 1:]},
            )

    return scored(name, scores, predict, reduce)
