"""Scores of captions: CIDEr-D, BLEU, exact match and perplexity."""

from __future__ import annotations

import functools

import numpy as np
from sacrebleu.metrics import BLEU

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.image_captioning.cider import DocumentFrequencies, cider, words

_BLEU = BLEU(tokenize="none", force=True)


def scores(predictions: Predictions, frequencies: DocumentFrequencies) -> Scores:
    """Scores a "caption" of each image against its "references".

    Captions are compared in lower case and without punctuation, as is usual.

    Args:
        predictions: With "caption", bytes [examples]; from a network also with the
            "log_likelihood" of one reference, that with a "shuffled" image, and "target_tokens".
        frequencies: Document frequencies of the training split.

    Returns:
        cider, 0 to 10; bleu, 0 to 100 (sacrebleu: Post 2018), with all references at once;
        exact_match, the fraction of captions that are a reference; from a network, perplexity per
        token, with the true and with another image.
    """
    found = [text.decode() for text in predictions.predicted["caption"]]
    pairs = list(zip(found, predictions.examples["references"], strict=True))
    counts = np.sum([_counts(*pair) for pair in pairs], 0)
    values = {
        "cider": float(np.mean([cider(*pair, frequencies) for pair in pairs])),
        "bleu": _BLEU._compute_score_from_stats(counts.tolist()).score,
        "exact_match": float(np.mean([_is_one(*pair) for pair in pairs])),
    }
    if "log_likelihood" in predictions.predicted:
        tokens = predictions.predicted["target_tokens"].sum()
        for name, column in (("perplexity", "log_likelihood"), ("shuffled_perplexity", "shuffled")):
            values[name] = float(np.exp(-predictions.predicted[column].sum() / tokens))
    return values


def each_cider(predictions: Predictions, frequencies: DocumentFrequencies) -> np.ndarray:
    """Returns CIDEr-D of each caption, float [examples]."""
    pairs = zip(predictions.predicted["caption"], predictions.examples["references"], strict=True)
    return np.array([cider(text.decode(), own, frequencies) for text, own in pairs])


# Cached for the bootstrap, which needs the same counts for every sample. sacrebleu computes BLEU
# from the sums of these counts alone, but has no public function for them.
@functools.lru_cache(maxsize=1 << 17)
def _counts(caption: str, references: tuple[str, ...]) -> np.ndarray:
    plain = [[_plain(reference)] for reference in references]
    return np.array(_BLEU._extract_corpus_statistics([_plain(caption)], plain)[0])


@functools.lru_cache(maxsize=1 << 17)
def _is_one(caption: str, references: tuple[str, ...]) -> bool:
    return _plain(caption) in map(_plain, references)


def _plain(caption: str) -> str:
    return " ".join(words(caption))
