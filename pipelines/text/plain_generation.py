"""Generation and scoring by plain loops over the whole network, to verify the served graph by."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.text import generation
from pipelines.text.reversible import RUNNING_TEXT_IDS, SpecialIds


def generate(
    model: keras.Model,
    prompts: Sequence[Sequence[int]],
    parameters: Sequence[Mapping[str, Any]],
    context: int,
    ids: SpecialIds = RUNNING_TEXT_IDS,
) -> list[tuple[list[int], float]]:
    """Continues prompts as `generation.generate` does.

    Args:
        model: From {"token_ids", "padding_mask"} to logits.
        prompts: Tokens of each.
        parameters: For each, values by the names of `generation.PARAMETERS`.
        context: Number of tokens that the network reads at once.
        ids: The ids of special tokens.

    Returns:
        For each, the tokens, and the margin of the closest decision between two tokens: the
        smallest difference of two logits, or of a random number from where another token begins.
    """
    positional, logits_of = generation.is_positional(model), _compiled(model)

    def continue_(prompt: Sequence[int], chosen: Mapping[str, Any]) -> tuple[list[int], float]:
        length = max(0, min(chosen["length"], generation.MAX_LENGTH))
        text = [ids.end, *prompt]
        if positional:
            length = min(length, context - 1)
            text = text[-(context - length) :]
        numbers = generation.uniform(tf.constant([chosen["seed"]], tf.int32))[0].numpy()
        start, smallest = len(text), np.inf
        for number in numbers[:length]:
            logits = logits_of([text])[0, -1].numpy().astype(np.float64)
            logits[[*ids.banned]] = -np.inf
            token, margin = _sample(logits, number, chosen)
            smallest = min(smallest, margin)
            if token == ids.end:
                break
            text.append(token)
        return text[start:], smallest

    return [continue_(*each) for each in zip(prompts, parameters, strict=True)]


def score(
    model: keras.Model,
    texts: Sequence[Sequence[int]],
    context: int,
    ids: SpecialIds = RUNNING_TEXT_IDS,
) -> list[float]:
    """Returns the log-probability of each text as `generation.score` does, window after window.

    Args:
        model: From {"token_ids", "padding_mask"} to logits.
        texts: Tokens of each, without [END].
        context: Number of tokens that the network reads at once.
        ids: The ids of special tokens.
    """
    logits_of = _compiled(model)

    def log_prob(text: Sequence[int]) -> float:
        row, total, start, done = [ids.end, *text], 0.0, 0, 0
        while done < len(text):
            window = row[start : start + context + 1]
            log_probs = tf.nn.log_softmax(logits_of([window[:-1]]))[0].numpy()
            done -= start
            new = log_probs[np.arange(done, len(log_probs)), window[done + 1 :]]
            total += float(new.sum(dtype=np.float64))
            done = start + len(log_probs)
            start += max(1, context // 2)
        return total

    return [log_prob(text) for text in texts]


@functools.lru_cache(maxsize=1)  # Tracing takes seconds, and one network is verified at a time.
def _compiled(model: keras.Model) -> Callable[[Any], tf.Tensor]:
    """Returns the network from token ids, int32 [batch, tokens], to logits."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def logits_of(token_ids: tf.Tensor) -> tf.Tensor:
        inputs = {"token_ids": token_ids, "padding_mask": tf.ones_like(token_ids)}
        return model(inputs, training=False)

    return logits_of


def _sample(logits: np.ndarray, number: float, chosen: Mapping[str, Any]) -> tuple[int, float]:
    """Returns the token that `generation.sampler` chooses of `logits`, and the margin."""
    if chosen["temperature"] <= 0:
        second, first = np.sort(logits)[-2:]
        return int(logits.argmax()), first - second
    probabilities = np.exp((logits - logits.max()) / chosen["temperature"])
    ranked = np.argsort(-probabilities, kind="stable")
    if chosen["top_k"] > 0:
        probabilities[ranked[int(chosen["top_k"]) :]] = 0
    probabilities /= probabilities.sum()
    if chosen["top_p"] < 1:
        before = np.cumsum(probabilities[ranked]) - probabilities[ranked]
        before[0] = -1
        probabilities[ranked[before >= chosen["top_p"]]] = 0
    sums = np.cumsum(probabilities) / probabilities.sum()
    return int((sums > number).argmax()), float(np.abs(sums - number).min())
