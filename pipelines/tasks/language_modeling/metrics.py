"""Scores of language models: perplexity and bits per character."""

from __future__ import annotations

import numpy as np

from pipelines.predictions import Predictions, Scores


def reduce(predictions: Predictions) -> Predictions:
    """Reduces "log_probabilities", float32 [windows, context], to sums over each window.

    Those tokens count whose weight is 1.
    """
    examples = predictions.examples
    weight = examples["weight"].astype(np.float64)
    return predictions.reduced(
        {
            "log_probability": (predictions.predicted["log_probabilities"] * weight).sum(-1),
            "tokens": weight.sum(-1),
            "characters": examples["characters"],
            "spelling_bits": examples["spelling_bits"],
        }
    )


def scores(predictions: Predictions) -> Scores:
    """Scores what `reduce` returned.

    Returns:
        "perplexity", per token, [END] and [UNK] included; "bits_per_character" of the text, which
        compares across tokenizers, for it includes the cost of spelling what [UNK] stands for, the
        column "spelling_bits".
    """
    log_prob = predictions.total("log_probability")
    bits = predictions.total("spelling_bits") - log_prob / np.log(2)
    return {
        "bits_per_character": float(bits / max(1, predictions.total("characters"))),
        "perplexity": float(np.exp(-log_prob / predictions.total("tokens"))),
    }
