"""The entries of a language model's SavedModel, and the plain computations that prove them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.export.signature import Signature
from pipelines.tasks.language_modeling import metrics as language_modeling
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.text import generation
from pipelines.text.generation import DEFAULTS, PARAMETERS
from pipelines.text.reversible_tokenizers import END

_TEXT = tf.TensorSpec([None], tf.string)
_TOKENS = {name: tf.TensorSpec([None, None], tf.int32) for name in ("token_ids", "padding_mask")}
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
    - `generate_token_ids`, `score_token_ids`: the same from "token_ids" and "padding_mask", int32
      [batch, tokens], to "token_ids" for "text".

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

    prompts = _read_again(data, [[], *beginnings(data, "test", len(_CHOICES) - 1)])
    long = beginnings(data, "test", 2, 2 * context + 3)
    texts = _read_again(data, [[], *beginnings(data, "test", 3), *long])
    scores = _scores(model, texts, context)
    prompted = _write(model, prompts, [DEFAULTS | choice for choice in _CHOICES], context)
    of_ids = {
        "generate_token_ids": Signature(
            "generate_token_ids",
            generate_token_ids,
            {**_TOKENS, **PARAMETERS},
            {**_padded(prompted.prompts), **prompted.parameters()},
            {"token_ids": _padded(prompted.tokens)["token_ids"], "tokens": prompted.counts()},
        ),
        "score_token_ids": Signature(
            "score_token_ids", score_token_ids, _TOKENS, _padded(texts), scores
        ),
    }
    if not reads_text:
        unnamed = replace(of_ids["generate_token_ids"], name="serving_default")
        return [unnamed, of_ids["score_token_ids"]]

    def of_texts(name: str, function: Any, written: _Written, own: bool) -> Signature:
        return Signature(
            name,
            function,
            {"prompt": _TEXT, **(PARAMETERS if own else {})},
            {"prompt": _strings(data, written.prompts), **(written.parameters() if own else {})},
            {"text": _strings(data, written.tokens), "tokens": written.counts()},
            resources=tokenizer.resources,
        )

    default = _write(model, prompts[:4], [DEFAULTS] * 4, context)
    return [
        of_texts("serving_default", serving_default, default, own=False),
        of_texts("generate", generate, prompted, own=True),
        Signature(
            "score",
            score,
            {"text": _TEXT},
            {"text": _strings(data, texts)},
            scores,
            resources=tokenizer.resources,
        ),
        *of_ids.values(),
    ]


@dataclass(frozen=True)
class _Written:
    """What plain loops wrote: a prompt, its parameters, and the tokens that go on with it."""

    prompts: list[list[int]]
    chosen: list[Mapping[str, Any]]
    tokens: list[list[int]]

    def parameters(self) -> dict[str, np.ndarray]:
        return {
            name: np.array([choice[name] for choice in self.chosen], spec.dtype.as_numpy_dtype)
            for name, spec in PARAMETERS.items()
        }

    def counts(self) -> np.ndarray:
        return np.array([len(tokens) for tokens in self.tokens], np.int32)


def _write(model: keras.Model, prompts: list[list[int]], chosen: Any, context: int) -> _Written:
    """Goes on with prompts; those that rounding could turn another way are left out."""
    written = language_modeling.written(model, prompts, chosen, context)
    rows = list(zip(prompts, chosen, *zip(*written, strict=True), strict=True))
    decided = [row for row in rows if row[-1] > _UNDECIDED] or rows[:1]
    return _Written(*map(list, list(zip(*decided, strict=True))[:-1]))


def _scores(model: keras.Model, texts: list[list[int]], context: int) -> dict[str, np.ndarray]:
    counts = np.array([len(text) for text in texts], np.int32)
    total = np.array(language_modeling.likelihoods(model, texts, context), np.float32)
    perplexity = np.exp(-total / np.maximum(counts, 1).astype(np.float32))
    return {"log_probability": total, "perplexity": perplexity, "tokens": counts}


def _named(chosen: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: tf.ensure_shape(x, [None]) for name, x in zip(PARAMETERS, chosen, strict=True)}


def _ragged(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> tf.RaggedTensor:
    token_ids, padding_mask = (tf.ensure_shape(x, [None, None]) for x in (token_ids, padding_mask))
    return tf.ragged.boolean_mask(token_ids, padding_mask > 0)


def _padded(runs: list[list[int]]) -> dict[str, np.ndarray]:
    ragged = tf.ragged.constant(runs, ragged_rank=1, dtype=tf.int32)
    ids, mask = ragged.to_tensor(), tf.ones_like(ragged).to_tensor()
    return {"token_ids": ids.numpy(), "padding_mask": mask.numpy()}


def _strings(data: RunningText, runs: list[list[int]]) -> np.ndarray:
    """Joins tokens to texts, bytes [texts]."""
    return data.tokenizer.text(tf.ragged.constant(runs, ragged_rank=1, dtype=tf.int32)).numpy()


def _read_again(data: RunningText, runs: list[list[int]]) -> list[list[int]]:
    """Returns the tokens of the tokens' text: unknown ones, or cut words, may become others."""
    return data.tokenizer(tf.constant(_strings(data, runs))).to_list()
