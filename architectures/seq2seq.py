"""An LSTM encoder-decoder with attention: one reads a sentence, the other writes another.

Luong, Pham & Manning, "Effective Approaches to Attention-based Neural Machine Translation", 2015:
global attention with the score "general", figure 2 and section 3.1. With h_t the state of the
decoder's top layer and s the positions of the source, whose states are m_s,

    a_t = softmax_s(h_t W_a m_s),  c_t = sum_s a_t(s) m_s,
    h'_t = tanh(W_c [c_t; h_t]),   logits = W_s h'_t

The attention comes after the recurrence, so in training all target positions are computed at once;
Bahdanau, Cho & Bengio 2015, where c_t enters the recurrence, need a loop of their own. Faithful:
stacked LSTMs, the decoder starting from the encoder's last states (Sutskever et al. 2014), no
biases in W_a, W_c and W_s, dropout as Zaremba et al. 2014. Beyond the paper: the encoder reads in
both directions, as in Bahdanau et al., each with half of the units, so that its joined states fit
the decoder's. Left out: input feeding (section 3.3), which is a loop again, the reversed source,
which reading backward replaces, and the paper's uniform initialisation; initialisers are Keras'
own, and the forget gate's bias starts at 1.

Inputs and decoding are those of `transformer.py`: `encode` and `next_token`.
"""

from __future__ import annotations

from collections.abc import Callable
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
        units: Width of each layer, an even number: half of it for each of the encoder's directions.
        layers: Layers of the encoder, and of the decoder.
        dropout: Share of units dropped from what each layer reads, and before the logits.

    Returns:
        A model from a dict of int32 arrays, `source_ids` and `source_padding_mask`
        [batch, source], `target_ids` and `target_padding_mask` [batch, target], to logits, float32
        [batch, target, vocabulary]: at each position, of the token that follows. Padding stands
        at the end.

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
    # What follows padding at the end is padding, so the decoder needs no mask.
    for layer, state in zip(stack(parts, "decoder_lstm"), states, strict=True):
        x, *_ = layer(parts["dropout"](x), initial_state=state)
    keys = parts["attention_keys"](memory)
    logits = _write(parts, x, memory, keys, inputs["source_padding_mask"])
    return keras.Model(inputs, logits, name="seq2seq")


def encode(model: keras.Model, source_ids, source_padding_mask, length: int) -> dict[str, Any]:
    """Reads a source once.

    Args:
        model: A model of `seq2seq`.
        source_ids: int32 [batch, source].
        source_padding_mask: int32 [batch, source].
        length: Tokens that a translation may have; an LSTM's memory does not grow with it.

    Returns:
        The cache that `next_token` begins with: the source's states, their keys, and the states of
        the decoder's layers.
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
    """Returns the step of keras_hub's samplers, see `sampler_step`; its first cache is `encode`'s.

    Args:
        model: A model of `seq2seq`.
    """
    parts = by_name(model.layers)

    def read(tokens, cache, position):
        del position  # The states know.
        x = parts["target_embedding"](tokens)[:, 0]
        updated = []
        for layer, state in zip(stack(parts, "decoder_lstm"), cache["states"], strict=True):
            x, state = layer.cell(x, state)
            updated.append(list(state))
        x = _attend(parts, x[:, None], cache["memory"], cache["keys"], cache["source_padding_mask"])
        return x, {**cache, "states": updated}

    return sampler_step(read, parts["logits"])


# The network over a table of its named layers: those to build with, or those of a model.


def _encode(parts, ids, padding_mask):
    """Returns the states of the source and, layer by layer, the last ones [hidden, cell]."""
    x, states = parts["source_embedding"](ids), []
    for layer in stack(parts, "encoder_lstm"):
        x, *last = layer(parts["dropout"](x), mask=padding_mask)
        hidden, cell, hidden_back, cell_back = last
        states.append([parts["join"]([hidden, hidden_back]), parts["join"]([cell, cell_back])])
    return x, states


def _write(parts, x, memory, keys, padding_mask):
    return parts["logits"](_attend(parts, x, memory, keys, padding_mask))


def _attend(parts, x, memory, keys, padding_mask):
    """Returns h'_t for the decoder's states [batch, T, units]."""
    context = parts["attention"]([x, memory, keys], mask=[None, padding_mask])
    x = parts["attentional"](parts["join"]([context, x]))
    return parts["dropout"](x)


def _parts(source_vocabulary, target_vocabulary, embedding, units, count, dropout):
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
