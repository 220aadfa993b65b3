"""An LSTM encoder-decoder with attention.

Luong, Pham & Manning, "Effective Approaches to Attention-based Neural Machine Translation", 2015:
global attention with the score "general", figure 2 and section 3.1. With h_t the state of the
decoder's top layer and s the positions of the source, whose states are m_s,

    a_t = softmax_s(h_t W_a m_s),  c_t = sum_s a_t(s) m_s,
    h'_t = tanh(W_c [c_t; h_t]),   logits = W_s h'_t

The attention follows the recurrence, so in training all target positions are computed at once; in
Bahdanau, Cho & Bengio 2015 c_t is an input of the recurrence, which requires a loop. As published:
stacked LSTMs, the decoder initialized with the encoder's last states (Sutskever et al. 2014), no
biases in W_a, W_c and W_s, dropout as Zaremba et al. 2014. Beyond the paper: the encoder is
bidirectional, as in Bahdanau et al., with half of the units in each direction, so that its
concatenated states have the size of the decoder's. Left out: input feeding (section 3.3), which
requires a loop, the reversed source, which the backward direction replaces, and the paper's uniform
initialization; initializers are those of Keras, and the bias of the forget gate is initialized to
1.

Inputs and decoding are those of `transformer.py`: `encode` and `next_token`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import layers

from architectures.checks import check_counts, check_rates
from architectures.transformer_layer import by_name, sampler_step, stack


def seq2seq(
    *,
    source_vocabulary: int,
    target_vocabulary: int,
    embedding: int = 256,
    units: int = 256,
    layers: int = 1,
    dropout: float = 0.2,
) -> keras.Model:
    """Builds an LSTM encoder-decoder.

    Args:
        source_vocabulary: Number of source tokens.
        target_vocabulary: Number of target tokens.
        embedding: Size of a token's vector.
        units: Units of each layer, an even number: half of them for each direction of the encoder.
        layers: Number of layers of the encoder and of the decoder.
        dropout: Dropout rate of the inputs of each layer and of the last features.

    Returns:
        A model from a dict of int32 arrays, `source_ids` and `source_padding_mask`
        [batch, source], `target_ids` and `target_padding_mask` [batch, target], to logits, float32
        [batch, target, vocabulary], of the next token at each position. Padding must be at the
        end.

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    check_counts(
        "seq2seq",
        source_vocabulary=[source_vocabulary],
        target_vocabulary=[target_vocabulary],
        embedding=[embedding],
        units=[units],
        layers=[layers],
    )
    check_rates("seq2seq", dropout=dropout)
    if units % 2:
        raise ValueError(f"seq2seq: units must be an even number, not {units}")
    parts = _parts(source_vocabulary, target_vocabulary, embedding, units, layers, dropout)
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("source_ids", "source_padding_mask", "target_ids", "target_padding_mask")
    }
    memory, states = _encode(parts, inputs["source_ids"], inputs["source_padding_mask"])
    x = parts["target_embedding"](inputs["target_ids"])
    # Padding is at the end, so the decoder needs no mask.
    for layer, state in zip(stack(parts, "decoder_lstm"), states, strict=True):
        x, *_ = layer(parts["dropout"](x), initial_state=state)
    keys = parts["attention_keys"](memory)
    logits = _decode(parts, x, memory, keys, inputs["source_padding_mask"])
    return keras.Model(inputs, logits, name="seq2seq")


def encode(
    model: keras.Model, source_ids: Any, source_padding_mask: Any, length: int
) -> dict[str, Any]:
    """Encodes a source.

    Args:
        model: A model of `seq2seq`.
        source_ids: int32 [batch, source].
        source_padding_mask: int32 [batch, source].
        length: Maximum number of tokens of a translation; unused, since states have a fixed size.

    Returns:
        The first cache of `next_token`: the source's states, their keys, and the states of the
        decoder's layers.
    """
    del length
    parts = by_name(model.layers)
    memory, states = _encode(parts, source_ids, source_padding_mask)
    return {
        "source_padding_mask": source_padding_mask,
        "memory": memory,
        "keys": parts["attention_keys"](memory),
        "states": states,
    }


def next_token(model: keras.Model) -> Callable:
    """Returns the `next` function of keras_hub's samplers; `encode` returns its first cache.

    See `sampler_step` for its arguments.

    Args:
        model: A model of `seq2seq`.
    """
    parts = by_name(model.layers)

    def read(tokens: Any, cache: Any, position: Any) -> tuple[Any, dict[str, Any]]:
        del position  # The states imply it.
        x = parts["target_embedding"](tokens)[:, 0]
        updated = []
        for layer, state in zip(stack(parts, "decoder_lstm"), cache["states"], strict=True):
            x, state = layer.cell(x, state)
            updated.append(list(state))
        x = _attend(parts, x[:, None], cache["memory"], cache["keys"], cache["source_padding_mask"])
        return x, {**cache, "states": updated}

    return sampler_step(read, parts["logits"])


# The network as functions of its layers by name: new layers, or those of a model.


def _encode(parts: Mapping[str, Any], ids: Any, padding_mask: Any) -> tuple[Any, list[list[Any]]]:
    """Returns the states of the source and each layer's last states [hidden, cell]."""
    x, states = parts["source_embedding"](ids), []
    for layer in stack(parts, "encoder_lstm"):
        x, *last = layer(parts["dropout"](x), mask=padding_mask)
        hidden, cell, hidden_back, cell_back = last
        states.append([parts["join"]([hidden, hidden_back]), parts["join"]([cell, cell_back])])
    return x, states


def _decode(parts: Mapping[str, Any], x: Any, memory: Any, keys: Any, padding_mask: Any) -> Any:
    return parts["logits"](_attend(parts, x, memory, keys, padding_mask))


def _attend(parts: Mapping[str, Any], x: Any, memory: Any, keys: Any, padding_mask: Any) -> Any:
    """Returns h'_t for the decoder's states [batch, T, units]."""
    context = parts["attention"]([x, memory, keys], mask=[None, padding_mask])
    x = parts["attentional"](parts["join"]([context, x]))
    return parts["dropout"](x)


def _parts(
    source_vocabulary: int,
    target_vocabulary: int,
    embedding: int,
    units: int,
    count: int,
    dropout: float,
) -> dict[str, Any]:
    """Returns all layers of the network by name."""

    def embed(name: str, vocabulary: int) -> layers.Layer:
        return layers.Embedding(
            vocabulary, embedding, embeddings_initializer="uniform", name=f"{name}_embedding"
        )

    def lstm(width: int, **options: Any) -> layers.Layer:
        return layers.LSTM(
            width,
            kernel_initializer="glorot_uniform",
            recurrent_initializer="orthogonal",
            unit_forget_bias=True,
            return_sequences=True,
            return_state=True,
            use_cudnn=False,
            **options,
        )

    def dense(name: str, width: int, activation: str | None = None, **options: Any) -> layers.Layer:
        return layers.Dense(
            width,
            activation,
            use_bias=False,
            kernel_initializer="glorot_uniform",
            name=name,
            **options,
        )

    numbers = range(1, count + 1)
    return by_name(
        [
            embed("source", source_vocabulary),
            embed("target", target_vocabulary),
            layers.Dropout(dropout, name="dropout"),
            layers.Concatenate(name="join"),
            *(
                layers.Bidirectional(
                    lstm(units // 2), merge_mode="concat", name=f"encoder_lstm_{number}"
                )
                for number in numbers
            ),
            *(lstm(units, name=f"decoder_lstm_{number}") for number in numbers),
            dense("attention_keys", units),
            layers.Attention(score_mode="dot", name="attention"),
            dense("attentional", units, "tanh"),
            dense("logits", target_vocabulary, dtype="float32"),
        ]
    )
