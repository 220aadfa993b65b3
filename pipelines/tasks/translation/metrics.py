"""Scores of translation: BLEU, chrF, exact match, token error rate and perplexity."""

from __future__ import annotations

import nltk
import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from pipelines.predictions import Predictions, Scores

_BLEU, _CHRF = BLEU(force=True), CHRF()


def reduce(predictions: Predictions, *, symbols: bool) -> Predictions:
    """Reduces a "translation" of each example and its "target" to what `scores` sums up.

    Args:
        predictions: With "translation", bytes [examples]; from a network also with the
            "log_likelihood" of the target, that with a "shuffled" source, and "target_tokens".
        symbols: Whether targets are symbols separated by spaces, as phones.
    """
    pairs = _pairs(predictions)
    statistics = {
        "bleu": np.array([_counts(_BLEU, *pair) for pair in pairs]),
        "chrf": np.array([_counts(_CHRF, *pair) for pair in pairs]),
        "exact_match": np.array([translation == target for translation, target in pairs]),
    }
    if symbols:
        statistics["edits"] = np.array([_edits(*pair) for pair in pairs])
    likelihoods = ("log_likelihood", "shuffled", "target_tokens")
    known = {name: column for name, column in predictions.predicted.items() if name in likelihoods}
    return predictions.reduced(statistics | known)


def scores(predictions: Predictions) -> Scores:
    """Scores what `reduce` returned.

    Returns:
        bleu and chrf, 0 to 100 (sacrebleu: Post 2018, Popović 2015); exact_match; with symbols
        token_error_rate, edits per symbol of the targets, for phones the phone error rate;
        from a network, perplexity per target token, with the true and with a shuffled source.
    """
    values = {
        "bleu": _of_counts(_BLEU, predictions.total("bleu")),
        "chrf": _of_counts(_CHRF, predictions.total("chrf")),
        "exact_match": predictions.mean("exact_match"),
    }
    if "edits" in predictions.statistics:
        edits, symbols_of_targets = predictions.total("edits")
        values["token_error_rate"] = float(edits / symbols_of_targets)
    if "log_likelihood" in predictions.statistics:
        tokens = predictions.total("target_tokens")
        for name, column in (("perplexity", "log_likelihood"), ("shuffled_perplexity", "shuffled")):
            values[name] = float(np.exp(-predictions.total(column) / tokens))
    return values


def sentence_chrf(predictions: Predictions) -> np.ndarray:
    """Returns chrF of each translation, float [examples]."""
    counts = (np.array(_counts(_CHRF, *pair)) for pair in _pairs(predictions))
    return np.array([_of_counts(_CHRF, each) for each in counts])


def _pairs(predictions: Predictions) -> list[tuple[str, str]]:
    """Returns each translation with its target."""
    found = (text.decode() for text in predictions.predicted["translation"])
    return list(zip(found, predictions.examples["target"], strict=True))


# sacrebleu computes its scores from the sums of these counts alone, but has no public functions.
def _counts(metric: BLEU | CHRF, translation: str, target: str) -> list[int]:
    return metric._extract_corpus_statistics([translation], [[target]])[0]


def _of_counts(metric: BLEU | CHRF, counts: np.ndarray) -> float:
    return metric._compute_score_from_stats(counts.astype(int).tolist()).score


def _edits(translation: str, target: str) -> tuple[int, int]:
    symbols = target.split()
    return nltk.edit_distance(translation.split(), symbols), len(symbols)
