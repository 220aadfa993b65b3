"""The Transformer encoder-decoder.

Vaswani et al., "Attention Is All You Need", 2017, figure 1 and tables 2 and 3.

As published: layers, widths, biases in all linear maps, ReLU, normalization after the residual sum
with epsilon 1e-6, sinusoidal positions, embeddings scaled by sqrt(d) and shared between source,
target and output, dropout on the sums of embeddings and positions and on outputs of sub-layers,
Glorot initialization. The paper reports 65 and 213 million parameters; with its vocabulary of about
37,000 tokens the description gives 63,082,496 and 214,245,376. Beyond the paper: `norm="pre"`,
which trains without a long warmup (Xiong et al. 2020) and needs a final normalization of both
stacks.

Cached decoding, one token at a time:

    cache = encode(model, source_ids, source_padding_mask, length=50)
    sampler = keras_hub.samplers.BeamSampler(num_beams=4)
    sampler(next_token(model), prompt, cache, index=1, stop_token_ids=[end], model=model)

where prompt, int32 [batch, 50], begins with the start token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_hub
from keras import ops

from architectures.checks import check_choice, check_counts
from architectures.transformer_layer import (
    TransformerLayer,
    by_name,
    check_size,
    sampler_step,
    stack,
)

SIZES: dict[str, dict[str, Any]] = {
    "base": {"layers": 6, "heads": 8, "width": 512, "feed_forward": 2048, "dropout": 0.1},
    "big": {"layers": 6, "heads": 16, "width": 1024, "feed_forward": 4096, "dropout": 0.3},
}


def transformer(
    size: str = "base",
    *,
    source_vocabulary: int,
    target_vocabulary: int,
    share_embeddings: bool = True,
    norm: str = "post",
    layers: int | None = None,
    heads: int | None = None,
    width: int | None = None,
    feed_forward: int | None = None,
    dropout: float | None = None,
) -> keras.Model:
    """Builds a Transformer.

    Args:
        size: "base" or "big"; the arguments from `layers` on override its values.
        source_vocabulary: Number of source tokens.
        target_vocabulary: Number of target tokens.
        share_embeddings: Whether source, target and output share one embedding, which requires one
            vocabulary; otherwise only target and output do.
        norm: Position of the normalization, "post", as published, or "pre".
        layers: Number of layers of the encoder and of the decoder.
        heads: Number of attention heads.
        width: Features of each position, a multiple of `heads`.
        feed_forward: Inner features of the feed-forward networks.
        dropout: Dropout rate.

    Returns:
        A model from a dict of int32 arrays, `source_ids` and `source_padding_mask`
        [batch, source], `target_ids` and `target_padding_mask` [batch, target], to logits, float32
        [batch, target, vocabulary], of the next token at each position.

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    check_counts(
        "transformer", source_vocabulary=[source_vocabulary], target_vocabulary=[target_vocabulary]
    )
    check_choice("transformer", "norm", norm, ("post", "pre"))
    config = check_size(
        "transformer",
        SIZES,
        size,
        layers=layers,
        heads=heads,
        width=width,
        feed_forward=feed_forward,
        dropout=dropout,
    )
    if share_embeddings and source_vocabulary != target_vocabulary:
        raise ValueError(
            f"transformer: share_embeddings needs vocabularies of one size, not "
            f"{source_vocabulary} and {target_vocabulary}"
        )
    tables = {"source_embedding": source_vocabulary, "target_embedding": target_vocabulary}
    if share_embeddings:
        tables = {"embedding": source_vocabulary}
    parts = layers_of(tables, norm, **config)

    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("source_ids", "source_padding_mask", "target_ids", "target_padding_mask")
    }
    memory = _encode(parts, inputs["source_ids"], inputs["source_padding_mask"])
    x = embed(parts, "target", inputs["target_ids"])
    for layer in stack(parts, "decoder_layer"):
        x = layer(
            x,
            memory,
            padding_mask=inputs["target_padding_mask"],
            memory_padding_mask=inputs["source_padding_mask"],
        )
    logits = logits_of(parts, last_norm(parts, "decoder", x))
    return keras.Model(inputs, logits, name="transformer")


def encode(
    model: keras.Model, source_ids: Any, source_padding_mask: Any, length: int
) -> dict[str, Any]:
    """Encodes a source.

    Args:
        model: A model of `transformer`.
        source_ids: int32 [batch, source].
        source_padding_mask: int32 [batch, source].
        length: Maximum number of tokens of a translation, start and end included.

    Returns:
        The first cache of `next_token`: each decoder layer's keys and values of the source, and
        room for those of the translation.
    """
    parts = by_name(model.layers)
    memory = _encode(parts, source_ids, source_padding_mask)
    decoder, batch = stack(parts, "decoder_layer"), ops.shape(source_ids)[0]
    return {
        "source_padding_mask": source_padding_mask,
        "cross": [layer.cross_attention.keys_and_values(memory) for layer in decoder],
        "self": [layer.self_attention.empty_cache(batch, length) for layer in decoder],
    }


def next_token(model: keras.Model) -> Callable:
    """Returns the `next` function of keras_hub's samplers; `encode` returns its first cache.

    See `sampler_step` for its arguments.

    Args:
        model: A model of `transformer`.
    """
    parts = by_name(model.layers)

    def read(tokens: Any, cache: Any, position: Any) -> tuple[Any, dict[str, Any]]:
        x = embed(parts, "target", tokens, position)
        updated = []
        for layer, past, cross in zip(
            stack(parts, "decoder_layer"), cache["self"], cache["cross"], strict=True
        ):
            x, past = layer(
                x,
                memory_padding_mask=cache["source_padding_mask"],
                self_cache=past,
                cross_cache=cross,
                index=position,
            )
            updated.append(past)
        return last_norm(parts, "decoder", x), {**cache, "self": updated}

    return sampler_step(read, lambda features: logits_of(parts, features))


# The network as functions of its layers by name: new layers, or those of a model.


def _encode(parts: Mapping[str, Any], ids: Any, padding_mask: Any) -> Any:
    x = embed(parts, "source", ids)
    for layer in stack(parts, "encoder_layer"):
        x = layer(x, padding_mask=padding_mask)
    return last_norm(parts, "encoder", x)


def embed(parts: Mapping[str, Any], side: str, ids: Any, start: Any = 0) -> Any:
    """Returns embeddings * sqrt(d) + positions, counted from `start`."""
    x = parts["embedding_scale"](_table(parts, side)(ids))
    x = parts["embedding_sum"]([x, parts["positions"](x, start_index=start)])
    return parts["embedding_dropout"](x)


def logits_of(parts: Mapping[str, Any], x: Any) -> Any:
    """Returns the logits of the decoder's last features, with the embedding of the target."""
    return parts["logits"](_table(parts, "target")(x, reverse=True))


def _table(parts: Mapping[str, Any], side: str) -> Any:
    return parts.get(f"{side}_embedding") or parts["embedding"]


def last_norm(parts: Mapping[str, Any], side: str, x: Any) -> Any:
    """Returns what a stack returns, normalized where its layers normalize what they read."""
    norm = parts.get(f"{side}_norm")
    return norm(x) if norm else x


def layers_of(
    tables: Mapping[str, int],
    norm: str,
    *,
    sides: Sequence[str] = ("encoder", "decoder"),
    layers: int,
    heads: int,
    width: int,
    feed_forward: int,
    dropout: float,
) -> dict[str, Any]:
    """Returns all layers by name, of an encoder-decoder or of one of its `sides`."""
    parts = [
        keras.layers.ReversibleEmbedding(
            vocabulary,
            width,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
            reverse_dtype="float32",
            name=name,
        )
        for name, vocabulary in tables.items()
    ]
    parts += [
        keras.layers.Rescaling(width**0.5, name="embedding_scale"),
        # Not in bfloat16, which cannot represent odd integers above 256.
        keras_hub.layers.SinePositionEncoding(dtype="float32", name="positions"),
        keras.layers.Add(name="embedding_sum"),
        keras.layers.Dropout(dropout, name="embedding_dropout"),
    ]
    for side in sides:
        parts += [
            TransformerLayer(
                width,
                heads,
                feed_forward,
                causal=side == "decoder",
                cross_attention=side == "decoder",
                norm=norm,
                activation="relu",
                dropout=dropout,
                epsilon=1e-6,
                kernel_initializer="glorot_uniform",
                name=f"{side}_layer_{number}",
            )
            for number in range(1, layers + 1)
        ]
        if norm == "pre":
            parts.append(keras.layers.LayerNormalization(epsilon=1e-6, name=f"{side}_norm"))
    parts.append(keras.layers.Activation("linear", dtype="float32", name="logits"))
    return by_name(parts)
