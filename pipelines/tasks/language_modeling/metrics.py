"""Language models: scores, n-gram models to beat, and the loop that proves how text is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.baselines import Baseline, scored
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.tasks.language_modeling.ngrams import KneserNey
from pipelines.text import generation
from pipelines.text.reversible_tokenizers import END, PAD, UNKNOWN

# Beyond these, counting n-grams would take longer than training.
_MOST_TOKENS = 20_000_000
_HIGHEST_ORDER = {"characters": 12, "words": 5, "word_pieces": 6}


def scores(predictions: Predictions) -> Scores:
    """Scores "log_probabilities", float32 [windows, context], of the tokens whose weight is 1.

    Returns:
        "perplexity", per token, [END] and [UNK] included; "bits_per_character" of the text, which
        compares across tokens, for what [UNK] hides is paid for, see `RunningText.raw`.
    """
    examples = predictions.examples
    weight = examples["weight"].astype(np.float64)
    likely = (predictions.predicted["log_probabilities"] * weight).sum()
    bits = examples["spelling_bits"].sum() - likely / np.log(2)
    return {
        "bits_per_character": float(bits / max(1, examples["characters"].sum())),
        "perplexity": float(np.exp(-likely / weight.sum())),
    }


def ngram(data: RunningText, order: int = 0) -> KneserNey:
    """Returns an n-gram model of the training split.

    Args:
        data: At most 20 million of its tokens are counted.
        order: Of the model; 0 takes that from which a higher one does not improve validation.
    """
    tokens = data.rows["train"].tokens[:_MOST_TOKENS]
    vocabulary = len(data.tokenizer.vocabulary)
    if order:
        return KneserNey(tokens, vocabulary, order)
    best, likely = KneserNey(tokens, vocabulary, 1), -np.inf
    for order in range(2, _HIGHEST_ORDER[data.tokenizer.kind] + 1):
        higher = KneserNey(tokens, vocabulary, order)
        found = higher.log_probabilities(data.rows["validation"].tokens)[1:].mean()
        if found <= likely:
            break
        best, likely = higher, found
    return best


def baseline(name: str, model: KneserNey, data: RunningText) -> Baseline:
    """Scores an n-gram model on the tokens that a network is scored on."""

    def predict(split: str) -> Predictions:
        likely = model.log_probabilities(data.rows[split].tokens)
        return Predictions(
            {"weight": data.weights(split), **data.raw(split)},
            {"log_probabilities": data.windows(split, likely)[:, 1:]},
        )

    return scored(name, scores, predict)


def written(
    model: keras.Model,
    prompts: Sequence[Sequence[int]],
    chosen: Sequence[Mapping[str, Any]],
    context: int,
) -> list[tuple[list[int], float]]:
    """Continues prompts as `generation.generate` does, by plain loops over the whole network.

    Args:
        model: From {"token_ids", "padding_mask"} to logits.
        prompts: Tokens of each.
        chosen: For each, values by the names of `generation.PARAMETERS`.
        context: Tokens that the network reads at once.

    Returns:
        For each, the tokens, and how narrowly the closest decision between two was made: the least
        gap of two logits, or of a random number from where another token begins.
    """
    positional, read = generation.is_positional(model), _reader(model)

    def write(prompt: Sequence[int], choice: Mapping[str, Any]) -> tuple[list[int], float]:
        length = max(0, min(choice["length"], generation.LONGEST))
        ids = [END, *prompt]
        if positional:
            length = min(length, context - 1)
            ids = ids[-(context - length) :]
        numbers = generation.uniform(tf.constant([choice["seed"]], tf.int32))[0].numpy()
        start, narrowest = len(ids), np.inf
        for number in numbers[:length]:
            logits = read([ids])[0, -1].numpy().astype(np.float64)
            token, gap = _decide(logits, number, choice)
            narrowest = min(narrowest, gap)
            if token == END:
                break
            ids.append(token)
        return ids[start:], narrowest

    return [write(*each) for each in zip(prompts, chosen, strict=True)]


def likelihoods(model: keras.Model, texts: Sequence[Sequence[int]], context: int) -> list[float]:
    """Returns the log-probability of each text, as `generation.score`, window after window.

    Args:
        model: From {"token_ids", "padding_mask"} to logits.
        texts: Tokens of each, without [END].
        context: Tokens that the network reads at once.
    """
    read = _reader(model)

    def likelihood(text: Sequence[int]) -> float:
        ids, total, start, done = [END, *text], 0.0, 0, 0
        while done < len(text):
            window = ids[start : start + context + 1]
            likely = tf.nn.log_softmax(read([window[:-1]]))[0].numpy()
            done -= start
            each = likely[np.arange(done, len(likely)), window[done + 1 :]]
            total += float(each.sum(dtype=np.float64))
            done = start + len(likely)
            start += max(1, context // 2)
        return total

    return [likelihood(text) for text in texts]


def _reader(model: keras.Model) -> Callable[[Any], tf.Tensor]:
    """Returns the network from token ids, int32 [batch, tokens], to logits, compiled."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def read(token_ids):
        inputs = {"token_ids": token_ids, "padding_mask": tf.ones_like(token_ids)}
        return model(inputs, training=False)

    return read


def _decide(logits: np.ndarray, number: float, chosen: Mapping[str, Any]) -> tuple[int, float]:
    """Returns the token that is chosen and how narrowly, see `generation.sample`."""
    logits[[PAD, UNKNOWN]] = -np.inf
    if chosen["temperature"] <= 0:
        second, first = np.sort(logits)[-2:]
        return int(logits.argmax()), first - second
    chance = np.exp((logits - logits.max()) / chosen["temperature"])
    ranked = np.argsort(-chance, kind="stable")
    if chosen["top_k"] > 0:
        chance[ranked[int(chosen["top_k"]) :]] = 0
    chance /= chance.sum()
    if chosen["top_p"] < 1:
        before = np.cumsum(chance[ranked]) - chance[ranked]
        before[0] = -1
        chance[ranked[before >= chosen["top_p"]]] = 0
    sums = np.cumsum(chance) / chance.sum()
    return int((sums > number).argmax()), float(np.abs(sums - number).min())
