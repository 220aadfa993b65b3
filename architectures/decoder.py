"""Decoder-only Transformers: language models that predict each token from all previous ones.

Radford, Wu, Child, Luan, Amodei & Sutskever, "Language Models are Unsupervised Multitask Learners",
2019 (GPT-2), after the decoder of Vaswani et al. 2017 without its cross-attention.

As in the published code: normalization before each sub-layer and after the last layer, with epsilon
1e-5; learned positions; tanh approximation of GELU; output layer tied to the embeddings; kernels
initialized with standard deviation 0.02, positions with 0.01, and output kernels of sub-layers with
0.02 / sqrt(2 layers), since the outputs of 2 x layers sub-layers are summed; dropout on embeddings,
attention weights and outputs of sub-layers. The sizes are those of the released models.
`char` and `char_small` are the character models of Karpathy's nanoGPT (6 and 4 layers, 10.8 and
0.8 million parameters), here with GPT-2's biases; they are meant for 65 characters and for 256 and
64 positions.

Cached decoding, one token at a time:

    cache = prefill(model, prompt)
    sampler = keras_hub.samplers.TopPSampler(p=0.9)
    sampler(next_token(model), prompt, cache, index=5, model=model)

where prompt, int32 [batch, length], holds 5 tokens followed by arbitrary values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        size: One of `SIZES`; the arguments from `layers` on override its values.
        vocabulary: Number of tokens.
        max_length: Number of positions.
        layers: Number of layers.
        heads: Number of attention heads.
        width: Features of each position, a multiple of `heads`.
        feed_forward: Inner features of the feed-forward networks; 4 * width if None.
        dropout: Dropout rate.

    Returns:
        A model from a dict of int32 arrays [batch, length], `token_ids` and `padding_mask`, to
        logits, float32 [batch, length, vocabulary], of the next token at each position.

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


def prefill(model: keras.Model, prompt: Any) -> list:
    """Computes the cache of a prompt.

    Args:
        model: A model of `decoder`.
        prompt: int32 [batch, length], tokens and room for new ones. Values in that room are
            ignored: a position is overwritten before later ones read it.

    Returns:
        The first cache of `next_token`: keys and values of each layer.
    """
    batch, length = ops.shape(prompt)
    parts = by_name(model.layers)
    empty = [layer.self_attention.empty_cache(batch, length) for layer in stack(parts, "layer")]
    return _read(parts, prompt, empty, 0)[1]


def next_token(model: keras.Model) -> Callable:
    """Returns the `next` function of keras_hub's samplers; `prefill` returns its first cache.

    See `sampler_step` for its arguments.

    Args:
        model: A model of `decoder`.
    """
    parts = by_name(model.layers)
    return sampler_step(
        lambda tokens, cache, position: _read(parts, tokens, cache, position),
        lambda features: _logits(parts, features),
    )


# The network as functions of its layers by name: new layers, or those of a model.


def _read(
    parts: Mapping[str, Any], tokens: Any, cache: Any, position: Any
) -> tuple[Any, list[Any]]:
    """Returns the features of tokens from `position` on and the updated cache."""
    x = _embed(parts, tokens, position)
    updated = []
    for layer, past in zip(stack(parts, "layer"), cache, strict=True):
        x, past = layer(x, self_cache=past, index=position)
        updated.append(past)
    return parts["norm"](x), updated


def _embed(parts: Mapping[str, Any], ids: Any, start: Any = 0) -> Any:
    x = parts["token_embedding"](ids)
    x = parts["embedding_sum"]([x, parts["position_embedding"](x, start_index=start)])
    return parts["embedding_dropout"](x)


def _logits(parts: Mapping[str, Any], x: Any) -> Any:
    return parts["logits"](parts["token_embedding"](x, reverse=True))


def _parts(
    vocabulary: int,
    max_length: int,
    *,
    layers: int,
    heads: int,
    width: int,
    feed_forward: int,
    dropout: float,
) -> dict[str, Any]:
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
