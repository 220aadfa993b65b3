"""Generating and scoring text with a language model, in the graph that is served.

Each row has its own parameters, and random numbers that depend on its seed alone: the result of a
row depends neither on the batch it came in nor on its neighbors. A token is sampled from
softmax(logits / temperature), restricted to the `top_k` most probable tokens (Fan et al. 2018) and,
of these, to the most probable ones whose probabilities add up to `top_p` (Holtzman et al., "The
Curious Case of Neural Text Degeneration", 2020). The remaining tokens stand in the order of their
ids, and the first one is taken at which the cumulative probability exceeds a uniform random number:
the k-th generated token of a row uses the k-th number of its stream. Padding and [UNK] are never
generated, nor ids of byte pairs that no text has.

Text begins after [END], which also ends it; the result does not include it. Networks with position
embeddings have room for `context` tokens, [END] and prompt included: with them, `length` is at most
context - 1, and prompts that leave too little room lose their beginning. No generated text is
longer than `MAX_LENGTH`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from architectures import decoder, recurrent_decoding
from pipelines.text.reversible import RUNNING_TEXT_IDS, SpecialIds

# Maximum number of tokens that one request generates.
MAX_LENGTH = 1024
RAGGED = tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1)
PARAMETERS = {
    "length": tf.TensorSpec([None], tf.int32),
    "temperature": tf.TensorSpec([None], tf.float32),
    "top_k": tf.TensorSpec([None], tf.int32),
    "top_p": tf.TensorSpec([None], tf.float32),
    "seed": tf.TensorSpec([None], tf.int32),
}
DEFAULTS: dict[str, Any] = {
    "length": 64,
    "temperature": 0.8,
    "top_k": 0,
    "top_p": 0.95,
    "seed": 0,
}
_BANNED_LOGIT = -1e9


def parameters(batch: Any, **chosen: Any) -> dict[str, tf.Tensor]:
    """Returns the parameters of `batch` rows, each [batch]; `DEFAULTS` where not chosen."""
    return {
        name: tf.fill([batch], tf.constant((DEFAULTS | chosen)[name], spec.dtype))
        for name, spec in PARAMETERS.items()
    }


def is_positional(model: keras.Model) -> bool:
    """Returns whether a model has position embeddings, and so a maximum number of tokens."""
    return model.name == "decoder"


def generate(
    model: keras.Model,
    prompts: tf.RaggedTensor,
    context: int,
    ids: SpecialIds = RUNNING_TEXT_IDS,
    *,
    length: tf.Tensor,
    temperature: tf.Tensor,
    top_k: tf.Tensor,
    top_p: tf.Tensor,
    seed: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Continues prompts.

    Args:
        model: A model of `decoder`, or one of `recurrent` that `recurrent_decoding.decodes`.
        prompts: Ragged int32 [batch, tokens], possibly empty.
        context: Number of tokens that the network reads at once.
        ids: The ids of special tokens.
        length: int32 [batch], maximum number of tokens to generate.
        temperature: float32 [batch]; 0, or less, takes the most probable token.
        top_k: int32 [batch]; 0, or less, keeps all tokens.
        top_p: float32 [batch]; 1, or more, keeps all tokens; the most probable is always kept.
        seed: int32 [batch], for random numbers.

    Returns:
        "token_ids", int32 [batch, longest], the generated tokens, without [END], then padding;
        "tokens", int32 [batch], their number.
    """
    room, length = _room(model, context, length)
    prompts = _after_end(prompts, room, ids.end)
    known = tf.cast(prompts.row_lengths(), tf.int32)
    batch, size = tf.shape(known)[0], tf.reduce_max(known + length)
    text = prompts.to_tensor(ids.padding, shape=[None, None])
    text = tf.pad(text, [[0, 0], [0, size - tf.shape(text)[1]]], constant_values=ids.padding)
    numbers = uniform(seed)
    first = tf.reduce_min(known)
    cache, step = _decoding(model, text, first)
    sample = sampler(model.output_shape[-1], temperature, top_k, top_p, ids.banned)

    def unfinished(index: tf.Tensor, text: tf.Tensor, cache: Any, ended: tf.Tensor) -> tf.Tensor:
        return (index < size) & ~tf.reduce_all(ended)

    def extend(index: tf.Tensor, text: tf.Tensor, cache: Any, ended: tf.Tensor) -> tuple[Any, ...]:
        logits, _, cache = step(text, cache, index)
        place = tf.clip_by_value(index - known, 0, MAX_LENGTH - 1)
        number = tf.gather(numbers, place, batch_dims=1)
        token = sample(logits, number)
        prompted = index < known
        ended |= ~prompted & ((token == ids.end) | (index >= known + length))
        token = tf.where(prompted, text[:, index], tf.where(ended, ids.padding, token))
        column = tf.stack([tf.range(batch), tf.fill([batch], index)], -1)
        return index + 1, tf.tensor_scatter_nd_update(text, column, token), cache, ended

    state = (first, text, cache, length <= 0)
    _, text, _, _ = tf.while_loop(unfinished, extend, state)
    places = known[:, tf.newaxis] + tf.range(tf.reduce_max(length))
    inside = places < (known + length)[:, tf.newaxis]
    generated = tf.gather(text, tf.minimum(places, size - 1), batch_dims=1)
    generated = tf.where(inside, generated, ids.padding)
    # Padding, and the end token, are never among the generated tokens.
    tokens = tf.math.count_nonzero(generated != ids.padding, -1, dtype=tf.int32)
    return {"token_ids": generated[:, : tf.reduce_max(tokens)], "tokens": tokens}


@functools.lru_cache(maxsize=1)
def graph(model: keras.Model, context: int, ids: SpecialIds = RUNNING_TEXT_IDS) -> Any:
    """Returns `generate` for a network, from prompts and a dict of `PARAMETERS`.

    It is one graph for any batch, whatever calls it, and the last one is kept: tracing it takes
    seconds.
    """

    @tf.function(input_signature=[RAGGED, PARAMETERS])
    def generating(prompts: tf.RaggedTensor, chosen: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return generate(model, prompts, context, ids, **chosen)

    return generating


def sampler(
    vocabulary: int,
    temperature: tf.Tensor,
    top_k: tf.Tensor,
    top_p: tf.Tensor,
    banned: Sequence[int] = RUNNING_TEXT_IDS.banned,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns what samples a token for each row; what all steps have in common is computed here.

    Args:
        vocabulary: Number of tokens.
        temperature: float32 [batch].
        top_k: int32 [batch].
        top_p: float32 [batch].
        banned: Ids that are never sampled.

    Returns:
        A function from logits, float32 [batch, vocabulary], and random numbers in [0, 1), float32
        [batch], to tokens, int32 [batch].
    """
    never = np.isin(np.arange(vocabulary), banned)
    greedy = temperature <= 0
    only_greedy, divisor = tf.reduce_all(greedy), tf.where(greedy, 1.0, temperature)[:, tf.newaxis]
    kept = _restriction(vocabulary, top_k, top_p)

    def sample(logits: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        if never.any():
            logits = tf.where(never, _BANNED_LOGIT, logits)
        best = tf.argmax(logits, 1, tf.int32)

        def sampled() -> tf.Tensor:
            sums = tf.cumsum(kept(tf.nn.softmax(logits / divisor)), axis=1)
            above = tf.cast(sums > number[:, tf.newaxis] * sums[:, -1:], tf.int32)
            return tf.where(greedy, best, tf.argmax(above, 1, tf.int32))

        return tf.cond(only_greedy, lambda: best, sampled)

    return sample


def _restriction(
    vocabulary: int, top_k: tf.Tensor, top_p: tf.Tensor
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns what puts zeros for those probabilities [batch, vocabulary] that are not sampled."""
    every = (top_k <= 0) | (top_k >= vocabulary)
    unrestricted = tf.reduce_all(every) & tf.reduce_all(top_p >= 1)
    ranks = tf.range(vocabulary) < tf.where(every, vocabulary, top_k)[:, tf.newaxis]
    enough = tf.where(top_p >= 1, 2.0, tf.maximum(top_p, 1e-9))[:, tf.newaxis]

    def restricted(probabilities: tf.Tensor) -> tf.Tensor:
        ranked = tf.where(ranks, tf.sort(probabilities, direction="DESCENDING"), 0.0)
        # The sum of the more probable ones, of all that top_k keeps.
        before = tf.cumsum(ranked, axis=1, exclusive=True) / tf.reduce_sum(ranked, 1, keepdims=True)
        kept = tf.where((before < enough) & (ranked > 0), ranked, 1.0)
        least = tf.reduce_min(kept, 1, keepdims=True)
        return tf.where(probabilities >= least, probabilities, 0.0)

    return lambda probabilities: tf.cond(
        unrestricted, lambda: probabilities, lambda: restricted(probabilities)
    )


def uniform(seed: tf.Tensor) -> tf.Tensor:
    """Returns each row's stream of random numbers, float32 [batch, MAX_LENGTH], from its seed."""
    return tf.map_fn(
        lambda one: tf.random.stateless_uniform([MAX_LENGTH], tf.stack([one, 0]), alg="philox"),
        seed,
        fn_output_signature=tf.TensorSpec([MAX_LENGTH], tf.float32),
    )


def score(
    model: keras.Model, texts: tf.RaggedTensor, context: int, ids: SpecialIds = RUNNING_TEXT_IDS
) -> dict[str, tf.Tensor]:
    """Scores texts, read in windows that overlap by half, as in evaluation.

    Args:
        model: From {"token_ids", "padding_mask"} to logits.
        texts: Ragged int32 [batch, tokens], without [END].
        context: Number of tokens that the network reads at once.
        ids: The ids of special tokens.

    Returns:
        "log_probability", float32 [batch], the natural logarithm of the probability that a text
        begins like this; "perplexity", float32 [batch], per token, 1 without tokens; "tokens",
        int32 [batch].
    """
    tokens = tf.cast(texts.row_lengths(), tf.int32)
    text = _after_end(texts, None, ids.end).to_tensor(shape=[None, None])
    stride = max(1, context // 2)
    count = tf.maximum(0, tf.reduce_max(tokens) - context + stride - 1) // stride + 1
    starts = tf.range(count) * stride
    # [windows, context + 1], the positions that each window reads, and the one after them.
    places = starts[:, tf.newaxis] + tf.range(context + 1)
    text = tf.pad(text, [[0, 0], [0, context + stride]])
    # One window after the other, since logits are large.
    log_probs = tf.map_fn(
        lambda window: log_probabilities(model, tf.gather(text, window, axis=1)),
        places,
        fn_output_signature=tf.TensorSpec([None, context], tf.float32),
    )
    done = tf.concat([[0], starts[:-1] + context], 0)[:, tf.newaxis]
    read = places[:, tf.newaxis, :-1]
    counts = (read >= done[..., tf.newaxis]) & (read < tokens[:, tf.newaxis])
    total = tf.reduce_sum(tf.where(counts, log_probs, 0.0), [0, 2])
    perplexity = tf.exp(-total / tf.cast(tf.maximum(tokens, 1), tf.float32))
    return {"log_probability": total, "perplexity": perplexity, "tokens": tokens}


def log_probabilities(model: keras.Model, tokens: tf.Tensor) -> tf.Tensor:
    """Returns the natural logarithm of each next token's probability.

    Args:
        model: From {"token_ids", "padding_mask"} to logits.
        tokens: int32 [batch, length + 1]; padding follows the others, so that these, which see
            none of it, need no mask.

    Returns:
        float32 [batch, length].
    """
    read = tokens[:, :-1]
    inputs = {"token_ids": read, "padding_mask": tf.ones_like(read)}
    log_probs = tf.nn.log_softmax(model(inputs, training=False))
    return tf.gather(log_probs, tokens[:, 1:], batch_dims=2)


def _after_end(texts: tf.RaggedTensor, room: tf.Tensor | None, end: int) -> tf.RaggedTensor:
    """Puts [END] before each text, and keeps its last `room` [batch] tokens; all for None."""
    texts = tf.concat([tf.fill([texts.nrows(), 1], end), texts], axis=1)
    if room is None:
        return texts
    left = tf.cast(texts.row_lengths(), tf.int32) - room
    return tf.ragged.boolean_mask(
        texts, tf.ragged.range(texts.row_lengths()) >= tf.cast(left, tf.int64)[:, tf.newaxis]
    )


def _room(
    model: keras.Model, context: int, length: tf.Tensor
) -> tuple[tf.Tensor | None, tf.Tensor]:
    """Returns how many tokens of [END] and prompt fit, [batch] or None for all; and lengths."""
    if not is_positional(model):
        return None, tf.clip_by_value(length, 0, MAX_LENGTH)
    length = tf.clip_by_value(length, 0, min(MAX_LENGTH, context - 1))
    return context - length, length


def _decoding(model: keras.Model, text: tf.Tensor, first: tf.Tensor) -> tuple[Any, Callable]:
    """Returns the cache of the tokens before the last of the `first` ones, and the step."""
    if is_positional(model):
        return decoder.prefill(model, text), decoder.next_token(model)
    cache = recurrent_decoding.prefill(model, text, first)
    return cache, recurrent_decoding.next_token(model)
