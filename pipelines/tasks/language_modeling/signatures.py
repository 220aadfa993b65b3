"""The signatures of a language model's SavedModel, with verification examples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.export.signature import Signature
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.text import generation, plain_generation
from pipelines.text.generation import DEFAULTS, PARAMETERS
from pipelines.text.reversible import PAD, SpecialIds

_TEXT = tf.TensorSpec([None], tf.string)
_TOKENS = {name: tf.TensorSpec([None, None], tf.int32) for name in ("token_ids", "padding_mask")}
# Parameters of the verification examples, one prompt each.
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
# A decision with a smaller margin could go either way by rounding.
_TIE_TOLERANCE = 1e-4


def prompts_of(data: RunningText, split: str, count: int, length: int = 8) -> list[list[int]]:
    """Returns `count` sequences of at most `length` tokens from all over a split."""
    end = data.tokenizer.ids.end
    tokens = data.streams[split].tokens
    starts = np.linspace(1, max(1, len(tokens) - length - 1), count).astype(int)
    parts = (tokens[start : start + length].tolist() for start in starts)
    return [list(itertools.takewhile(lambda token: token != end, part)) for part in parts]


def as_text(texts: tf.Tensor) -> tf.Tensor:
    """Replaces what is not UTF-8 in strings: byte pairs may end within a character."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")


def signatures(model: keras.Model, data: RunningText, *, text: bool) -> list[Signature]:
    """Returns the signatures: for strings, if `text` is true, and for token ids.

    - `serving_default`: "prompt" to "text" and "tokens", with `generation.DEFAULTS`;
    - `generate`: the same with all of `generation.PARAMETERS`;
    - `score`: "text" to "log_probability", "perplexity" and "tokens";
    - `generate_token_ids`, `score_token_ids`: the same from "token_ids" and "padding_mask", int32
      [batch, tokens], to "token_ids" for "text".

    Without those for strings, `generate_token_ids` is `serving_default`.
    """
    context, tokenizer = data.context, data.tokenizer
    ids = tokenizer.ids

    # All signatures call these two graphs, since tracing the network takes seconds.
    continued = generation.graph(model, context, ids)

    @tf.function(input_signature=[generation.RAGGED])
    def scored(texts: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        return generation.score(model, texts, context, ids)

    def generate_token_ids(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        token_ids, padding_mask, *chosen = tensors
        prompts = _ragged(token_ids, padding_mask)
        return continued(prompts, _named(chosen))

    def score_token_ids(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        return scored(_ragged(token_ids, padding_mask))

    def generate(prompt: tf.Tensor, *chosen: tf.Tensor) -> dict[str, tf.Tensor]:
        prompts = tokenizer(tf.ensure_shape(prompt, [None]))
        found = continued(prompts, _named(chosen))
        text = as_text(tokenizer.detokenize(found["token_ids"]))
        return {"text": text, "tokens": found["tokens"]}

    def serving_default(prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        return generate(prompt, *generation.parameters(tf.shape(prompt)[0]).values())

    def score(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return scored(tokenizer(tf.ensure_shape(text, [None])))

    prompts = _retokenized(data, [[], *prompts_of(data, "test", len(_CHOICES) - 1)])
    long = prompts_of(data, "test", 2, 2 * context + 3)
    texts = _retokenized(data, [[], *prompts_of(data, "test", 3), *long])
    scores = _scores(model, texts, context, ids)
    generated = _generate(model, prompts, [DEFAULTS | choice for choice in _CHOICES], context, ids)
    for_ids = {
        "generate_token_ids": Signature(
            "generate_token_ids",
            generate_token_ids,
            {**_TOKENS, **PARAMETERS},
            {**_padded(generated.prompts), **generated.parameters()},
            {
                "token_ids": _padded(generated.tokens, ids.padding)["token_ids"],
                "tokens": generated.counts(),
            },
        ),
        "score_token_ids": Signature(
            "score_token_ids", score_token_ids, _TOKENS, _padded(texts), scores
        ),
    }
    if not text:
        unnamed = replace(for_ids["generate_token_ids"], name="serving_default")
        return [unnamed, for_ids["score_token_ids"]]

    def for_texts(
        name: str, function: Callable[..., dict[str, tf.Tensor]], expected: _Generated, *, own: bool
    ) -> Signature:
        return Signature(
            name,
            function,
            {"prompt": _TEXT, **(PARAMETERS if own else {})},
            {"prompt": _strings(data, expected.prompts), **(expected.parameters() if own else {})},
            {"text": _strings(data, expected.tokens), "tokens": expected.counts()},
            resources=tokenizer.resources,
        )

    default = _generate(model, prompts[:4], [DEFAULTS] * 4, context, ids)
    return [
        for_texts("serving_default", serving_default, default, own=False),
        for_texts("generate", generate, generated, own=True),
        Signature(
            "score",
            score,
            {"text": _TEXT},
            {"text": _strings(data, texts)},
            scores,
            resources=tokenizer.resources,
        ),
        *for_ids.values(),
    ]


@dataclass(frozen=True)
class _Generated:
    """What plain loops generate: prompts, their parameters, and the tokens that continue them."""

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


def _generate(
    model: keras.Model,
    prompts: list[list[int]],
    chosen: list[Mapping[str, Any]],
    context: int,
    ids: SpecialIds,
) -> _Generated:
    """Continues prompts; those with a tie, which rounding could break, are left out."""
    generated = plain_generation.generate(model, prompts, chosen, context, ids)
    rows = [
        (prompt, choice, tokens, margin)
        for prompt, choice, (tokens, margin) in zip(prompts, chosen, generated, strict=True)
    ]
    unambiguous = [row for row in rows if row[-1] > _TIE_TOLERANCE] or rows[:1]
    return _Generated(
        [prompt for prompt, *_ in unambiguous],
        [choice for _, choice, *_ in unambiguous],
        [tokens for *_, tokens, _ in unambiguous],
    )


def _scores(
    model: keras.Model, texts: list[list[int]], context: int, ids: SpecialIds
) -> dict[str, np.ndarray]:
    counts = np.array([len(text) for text in texts], np.int32)
    total = np.array(plain_generation.score(model, texts, context, ids), np.float32)
    perplexity = np.exp(-total / np.maximum(counts, 1).astype(np.float32))
    return {"log_probability": total, "perplexity": perplexity, "tokens": counts}


def _named(chosen: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: tf.ensure_shape(x, [None]) for name, x in zip(PARAMETERS, chosen, strict=True)}


def _ragged(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> tf.RaggedTensor:
    token_ids, padding_mask = (tf.ensure_shape(x, [None, None]) for x in (token_ids, padding_mask))
    return tf.ragged.boolean_mask(token_ids, padding_mask > 0)


def _padded(texts: list[list[int]], padding: int = PAD) -> dict[str, np.ndarray]:
    ragged = tf.ragged.constant(texts, ragged_rank=1, dtype=tf.int32)
    ids, mask = ragged.to_tensor(padding), tf.ones_like(ragged).to_tensor()
    return {"token_ids": ids.numpy(), "padding_mask": mask.numpy()}


def _strings(data: RunningText, texts: list[list[int]]) -> np.ndarray:
    """Joins tokens to texts, bytes [texts]."""
    ids = tf.ragged.constant(texts, ragged_rank=1, dtype=tf.int32)
    return as_text(data.tokenizer.detokenize(ids)).numpy()


def _retokenized(data: RunningText, texts: list[list[int]]) -> list[list[int]]:
    """Returns the tokens of the tokens' text: unknown ones, or cut words, may become others."""
    return data.tokenizer(tf.constant(_strings(data, texts))).to_list()
