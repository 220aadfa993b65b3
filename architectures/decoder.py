"""Decoder-only Transformers: language models that predict each token from all before it.

Radford, Wu, Child, Luan, Amodei & Sutskever, "Language Models are Unsupervised Multitask Learners",
2019 (GPT-2), after the decoder of Vaswani et al. 2017 without its cross-attention.

Faithful to the published code: normalisation before each sub-layer and once more at the end, with
epsilon 1e-5; learned positions; tanh-approximate GELU; the output shares the embedding table;
matrices drawn with standard deviation 0.02, positions with 0.01; those that end a sub-layer with
0.02 / sqrt(2 layers), for 2 layers of them add up in the residual stream; dropout on embeddings,
attention weights and what each sub-layer adds. The sizes are those of the released models.
`char` and `char_small` are the character models of Karpathy's nanoGPT (6 and 4 layers, 10.8 and
0.8 million parameters), here with GPT-2's biases; they go with 65 characters, and with 256 and 64
positions.

Writing one token at a time, without computing anything twice:

    cache = prefill(model, prompt)
    sampler = keras_hub.samplers.TopPSampler(p=0.9)
    sampler(next_token(model), prompt, cache, index=5, model=model)

where prompt, int32 [batch, length], holds 5 tokens and then anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import keras_hub
from keras import ops

from architectures.checks import check_counts
from architectures.transformer_layer import (
    TransformerLayer,
    by_name,
    check_size,
    sampler_step,
    stack,
)

SIZES: dict[str, dict[str, Any]] = {
    "gpt2_small": {"layers": 12, "heads": 12, "width": 768, "dropout": 0.1},
    "gpt2_medium": {"layers": 24, "heads": 16, "width": 1024, "dropout": 0.1},
    "gpt2_large": {"layers": 36, "heads": 20, "width": 1280, "dropout": 0.1},
    "gpt2_xl": {"layers": 48, "heads": 25, "width": 1600, "dropout": 0.1},
    "char": {"layers": 6, "heads": 6, "width": 384, "dropout": 0.2},
    "char_small": {"layers": 4, "heads": 4, "width": 128, "dropout": 0.0},
}


def decoder(
    size: str = "gpt2_small",
    *,
    vocabulary: int = 50257,
    max_length: int = 1024,
    layers: int | None = None,
    heads: int | None = None,
    width: int | None = None,
    feed_forward: int | None = None,
    dropout: float | None = None,
) -> keras.Model:
    """Builds a decoder-only Transformer.

    Args:
        size: One of `SIZES`; the options from `layers` on change parts of it.
        vocabulary: Number of tokens.
        max_length: Number of positions.
        layers: Layers.
        heads: Attention heads.
        width: Features of each position, a multiple of heads.
        feed_forward: Features between the two maps of a feed-forward network; 4 width, if None.
        dropout: Share of units dropped.

    Returns:
        A model from a dict of int32 arrays [batch, length], `token_ids` and `padding_mask`, to
        logits, float32 [batch, length, vocabulary]: at each position, of the token that follows.

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    check_counts("decoder", vocabulary=[vocabulary], max_length=[max_length])
    config = check_size(
        "decoder",
        SIZES,
        size,
        layers=layers,
        heads=heads,
        width=width,
        feed_forward=feed_forward,
        dropout=dropout,
    )
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    parts = _parts(vocabulary, max_length, **config)
    x = _embed(parts, inputs["token_ids"])
    for layer in stack(parts, "layer"):
        x = layer(x, padding_mask=inputs["padding_mask"])
    return keras.Model(inputs, _logits(parts, parts["norm"](x)), name="decoder")


def prefill(model: keras.Model, prompt) -> list:
    """Reads a prompt once.

    Args:
        model: A model of `decoder`.
        prompt: int32 [batch, length], tokens with room for those to come. What stands in that room
            does no harm: a position is overwritten before any later one reads it.

    Returns:
        The cache that `next_token` begins with: keys and values of each layer.
    """
    batch, length = ops.shape(prompt)
    parts = by_name(model.layers)
    empty = [layer.self_attention.empty_cache(batch, length) for layer in stack(parts, "layer")]
    return _read(parts, prompt, empty, 0)[1]


def next_token(model: keras.Model) -> Callable:
    """Returns the step of keras_hub's samplers, see `sampler_step`; its first cache is `prefill`'s.

    Args:
        model: A model of `decoder`.
    """
    parts = by_name(model.layers)
    return sampler_step(
        lambda tokens, cache, position: _read(parts, tokens, cache, position),
        lambda features: _logits(parts, features),
    )


# The network over a table of its named layers: those to build with, or those of a model.


def _read(parts, tokens, cache, position):
    """Returns the features of tokens from `position` on, and the cache with them."""
    x = _embed(parts, tokens, position)
    updated = []
    for layer, past in zip(stack(parts, "layer"), cache, strict=True):
        x, past = layer(x, self_cache=past, index=position)
        updated.append(past)
    return parts["norm"](x), updated


def _embed(parts, ids, start=0):
    x = parts["token_embedding"](ids)
    x = parts["embedding_sum"]([x, parts["position_embedding"](x, start_index=start)])
    return parts["embedding_dropout"](x)


def _logits(parts, x):
    return parts["logits"](parts["token_embedding"](x, reverse=True))


def _parts(vocabulary, max_length, *, layers, heads, width, feed_forward, dropout):
    """Returns all layers of the network by name."""

    def normal(stddev: float) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=stddev)

    parts = [
        keras.layers.ReversibleEmbedding(
            vocabulary,
            width,
            embeddings_initializer=normal(0.02),
            reverse_dtype="float32",
            name="token_embedding",
        ),
        keras_hub.layers.PositionEmbedding(
            max_length, initializer=normal(0.01), name="position_embedding"
        ),
        keras.layers.Add(name="embedding_sum"),
        keras.layers.Dropout(dropout, name="embedding_dropout"),
    ]
    parts += [
        TransformerLayer(
            width,
            heads,
            feed_forward,
            causal=True,
            norm="pre",
            activation="gelu_tanh",
            dropout=dropout,
            attention_dropout=dropout,
            epsilon=1e-5,
            kernel_initializer=normal(0.02),
            residual_initializer=normal(0.02 * (2 * layers) ** -0.5),
            name=f"layer_{number}",
        )
        for number in range(1, layers + 1)
    ]
    parts.append(keras.layers.LayerNormalization(epsilon=1e-5, name="norm"))
    parts.append(keras.layers.Activation("linear", dtype="float32", name="logits"))
    return by_name(parts)
