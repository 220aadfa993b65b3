"""Scores of translation: BLEU, chrF, exact match, token error rate and perplexity."""

from __future__ import annotations

import functools

import nltk
import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from pipelines.predictions import Predictions, Scores

_BLEU, _CHRF = BLEU(force=True), CHRF()


def scores(predictions: Predictions, *, symbols: bool) -> Scores:
    """Scores a "translation" of each example against its "target".

    Args:
        predictions: With "translation", bytes [examples]; from a network also with the
            "log_likelihood" of the target, that with a "shuffled" source, and "target_tokens".
        symbols: Whether targets are symbols separated by spaces, as phones.

    Returns:
        bleu and chrf, 0 to 100 (sacrebleu: Post 2018, Popović 2015); exact_match; with symbols
        token_error_rate, edits per symbol of the targets, for phones the phone error rate;
        from a network, perplexity per target token, with the true and with a shuffled source.
    """
    found = [text.decode() for text in predictions.predicted["translation"]]
    pairs = list(zip(found, predictions.examples["target"], strict=True))
    bleu, chrf = (np.sum(counts, 0) for counts in zip(*(_counts(*p) for p in pairs), strict=True))
    values = {
        "bleu": _BLEU._compute_score_from_stats(bleu.tolist()).score,
        "chrf": _CHRF._compute_score_from_stats(chrf.tolist()).score,
        "exact_match": float(np.mean([translation == target for translation, target in pairs])),
    }
    if symbols:
        edits, symbols_of_targets = np.sum([_edits(*pair) for pair in pairs], 0)
        values["token_error_rate"] = float(edits / symbols_of_targets)
    if "log_likelihood" in predictions.predicted:
        tokens = predictions.predicted["target_tokens"].sum()
        for name, column in (("perplexity", "log_likelihood"), ("shuffled_perplexity", "shuffled")):
            values[name] = float(np.exp(-predictions.predicted[column].sum() / tokens))
    return values


# Cached for the bootstrap, which needs the same counts for every sample. sacrebleu computes its
# scores from the sums of these counts alone, but has no public function for them.
@functools.lru_cache(maxsize=1 << 17)
def _counts(translation: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    counted = (
        metric._extract_corpus_statistics([translation], [[target]])[0] for metric in (_BLEU, _CHRF)
    )
    bleu, chrf = (np.array(counts) for counts in counted)
    return bleu, chrf


@functools.lru_cache(maxsize=1 << 17)
def _edits(translation: str, target: str) -> tuple[int, int]:
    symbols = target.split()
    return nltk.edit_distance(translation.split(), symbols), len(symbols)


def sentence_chrf(predictions: Predictions) -> np.ndarray:
    """Returns chrF of each translation, float [examples]."""
    pairs = zip(predictions.predicted["translation"], predictions.examples["target"], strict=True)
    return np.array(
        [
            _CHRF._compute_score_from_stats(_counts(found.decode(), target)[1].tolist()).score
            for found, target in pairs
        ]
    )
