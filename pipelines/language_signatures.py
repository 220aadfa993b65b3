"""The entries of a language model's SavedModel, and the plain computations that prove them."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines import generation, language_modeling
from pipelines.datasets.running_text import RunningText
from pipelines.export import Signature
from pipelines.generation import DEFAULTS, PARAMETERS
from pipelines.reversible_tokenizers import END

_TEXTS = {name: tf.TensorSpec([None], tf.string) for name in ("prompt", "text")}
_TOKENS = {
    name: tf.TensorSpec([None, None], tf.int32) for name in ("token_ids", "padding_mask")
}
# Choices that differ in every way, for proofs; as many prompts.
_CHOICES: tuple[dict[str, Any], ...] = (
    {"length": 12, "temperature": 0.0},
    {"length": 9, "temperature": 1.0, "top_p": 1.0, "seed": 1},
    {"length": 12, "temperature": 1.0, "top_k": 5, "top_p": 1.0, "seed": 2},
    {"length": 3, "temperature": 1.5, "top_p": 0.5, "seed": 3},
    {"length": 12, "temperature": 0.7, "top_k": 20, "top_p": 0.9, "seed": 2**31 - 1},
    {"length": 0},
    {"length": 6, "seed": -1},
    {"length": 12, "top_k": 1, "seed": 5},
)
# A decision closer than this could go either way by rounding.
_UNDECIDED = 1e-4


def beginnings(data: RunningText, split: str, count: int, length: int = 8) -> list[list[int]]:
    """Returns `count` runs of tokens from all over a split, of `length` and fewer."""
    tokens = data.rows[split].tokens
    starts = np.linspace(1, max(1, len(tokens) - length - 1), count).astype(int)
    runs = (itertools.takewhile(lambda i: i != END, tokens[s : s + length]) for s in starts)
    return [[int(i) for i in run] for run in runs]


def signatures(model: keras.Model, data: RunningText, *, reads_text: bool) -> list[Signature]:
    """Returns the entries: for strings, if wanted, and for token ids.

    - `serving_default`: "prompt" to "text" and "tokens", with `generation.DEFAULTS`;
    - `generate`: the same with all of `generation.PARAMETERS`;
    - `score`: "text" to "log_probability", "perplexity" and "tokens";
    - `generate_token_ids`, `score_token_ids`: the same for "token_ids" with a "padding_mask".

    Without strings, `generate_token_ids` is `serving_default`.
    """
    context, tokenizer = data.context, data.tokenizer

    def generate_token_ids(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        token_ids, padding_mask, *chosen = given
        prompts = _ragged(token_ids, padding_mask)
        return generation.generate(model, prompts, context, **_named(chosen))

    def score_token_ids(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        return generation.score(model, _ragged(token_ids, padding_mask), context)

    def generate(prompt: tf.Tensor, *chosen: tf.Tensor) -> dict[str, tf.Tensor]:
        prompts = tokenizer(tf.ensure_shape(prompt, [None]))
        written = generation.generate(model, prompts, context, **_named(chosen))
        return {"text": tokenizer.text(written["token_ids"]), "tokens": written["tokens"]}

    def serving_default(prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        return generate(prompt, *generation.parameters(tf.shape(prompt)[0]).values())

    def score(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return generation.score(model, tokenizer(tf.ensure_shape(text, [None])), context)

    prompts = [[], *beginnings(data, "test", len(_CHOICES) - 1)]
    texts = [[], *beginnings(data, "test", 3), *beginnings(data, "test", 2, 2 * context + 3)]
    if reads_text:
        # What was unknown is another token when it is read again.
        prompts, texts = (_read_again(tokenizer, runs) for runs in (prompts, texts))
    own = [DEFAULTS | choice for choice in _CHOICES]
    default = [DEFAULTS] * len(prompts)
    scored = _scored(model, texts, context)
    token_ids = [
        _of_written("generate_token_ids", generate_token_ids, model, data, prompts, own),
        Signature("score_token_ids", score_token_ids, _TOKENS, _padded(texts), scored),
    ]
    if not reads_text:
        token_ids[0] = 
