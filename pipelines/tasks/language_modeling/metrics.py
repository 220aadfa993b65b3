"""Scores of language models: perplexity and bits per character."""

from __future__ import annotations

import numpy as np

from pipelines.predictions import Predictions, Scores


def scores(predictions: Predictions) -> Scores:
    """Scores "log_probabilities", float32 [windows, context], of the tokens whose weight is 1.

    Returns:
        "perplexity", per token, [END] and [UNK] included; "bits_per_character" of the text, which
        compares across tokenizers, for it includes the cost of spelling what [UNK] stands for, the
        column "spelling_bits".
    """
    examples = predictions.examples
    weight = examples["weight"].astype(np.float64)
    log_probs = (predictions.predicted["log_probabilities"] * weight).sum()
    bits = examples["spelling_bits"].sum() - log_probs / np.log(2)
    return {
        "bits_per_character": float(bits / max(1, examples["characters"].sum())),
        "perplexity": float(np.exp(-log_probs / weight.sum())),
    }
