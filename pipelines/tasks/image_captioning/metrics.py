"""Scores of captions: CIDEr-D, BLEU, exact match and perplexity."""

from __future__ import annotations

import numpy as np
from sacrebleu.metrics import BLEU

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.image_captioning.cider import DocumentFrequencies, cider, words

_BLEU = BLEU(tokenize="none", force=True)


def reduce(predictions: Predictions, frequencies: DocumentFrequencies) -> Predictions:
    """Reduces a "caption" of each image and its "references" to what `scores` sums up.

    Captions are compared in lower case and without punctuation, as is usual.

    Args:
        predictions: With "caption", bytes [examples]; from a network also with the
            "log_likelihood" of one reference, that with a "shuffled" image, and "target_tokens".
        frequencies: Document frequencies of the training split.
    """
    found = [text.decode() for text in predictions.predicted["caption"]]
    pairs = list(zip(found, predictions.examples["references"], strict=True))
    likelihoods = ("log_likelihood", "shuffled", "target_tokens")
    return predictions.reduced(
        {
            "cider": np.array([cider(*pair, frequencies) for pair in pairs]),
            "bleu": np.array([_counts(*pair) for pair in pairs]),
            "exact_match": np.array([_is_one(*pair) for pair in pairs]),
        }
        | {name: column for name, column in predictions.predicted.items() if name in likelihoods}
    )


def scores(predictions: Predictions) -> Scores:
    """Scores what `reduce` returned.

    Returns:
        cider, 0 to 10; bleu, 0 to 100 (sacrebleu: Post 2018), with all references at once;
        exact_match, the fraction of captions that are a reference; from a network, perplexity per
        token, with the true and with another image.
    """
    counts = predictions.total("bleu").astype(int)
    values = {
        "cider": predictions.mean("cider"),
        "bleu": _BLEU._compute_score_from_stats(counts.tolist()).score,
        "exact_match": predictions.mean("exact_match"),
    }
    if "log_likelihood" in predictions.statistics:
        tokens = predictions.total("target_tokens")
        for name, column in (("perplexity", "log_likelihood"), ("shuffled_perplexity", "shuffled")):
            values[name] = float(np.exp(-predictions.total(column) / tokens))
    return values


def each_cider(predictions: Predictions, frequencies: DocumentFrequencies) -> np.ndarray:
    """Returns CIDEr-D of each caption, float [examples]."""
    pairs = zip(predictions.predicted["caption"], predictions.examples["references"], strict=True)
    return np.array([cider(text.decode(), own, frequencies) for text, own in pairs])


# sacrebleu computes BLEU from the sums of these counts alone, but has no public function for them.
def _counts(caption: str, references: tuple[str, ...]) -> list[int]:
    plain = [[_plain(reference)] for reference in references]
    return _BLEU._extract_corpus_statistics([_plain(caption)], plain)[0]


def _is_one(caption: str, references: tuple[str, ...]) -> bool:
    return _plain(caption) in map(_plain, references)


def _plain(caption: str) -> str:
    return " ".join(words(caption))
