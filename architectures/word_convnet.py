"""A convolutional network over words: filters of several widths and max pooling over time.

Kim, "Convolutional Neural Networks for Sentence Classification", 2014, figure 1, in the variant
with randomly initialized word vectors ("CNN-rand"). A filter of width w reads w adjacent word
vectors; max pooling keeps the largest value of its feature map, so texts may have any length.

As published: widths 3, 4 and 5 with 100 filters each, ReLU, dropout 0.5 before the last layer, and
the columns of that layer's kernel constrained to a norm of at most 3. Different: filters are
centered on each real word and zero-padded beyond the text, so that padding changes no output; the
paper's code pads all texts to one length and pools over the padding too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from architectures.checks import check_counts, check_rates
from architectures.layers import SequencePooling


def word_convnet(
    *,
    outputs: int,
    vocabulary: int,
    embedding: int = 300,
    filters: int = 100,
    widths: Sequence[int] = (3, 4, 5),
    dropout: float = 0.5,
) -> keras.Model:
    """Builds a convolutional network over words.

    Args:
        outputs: Number of logits per text.
        vocabulary: Number of tokens.
        embedding: Size of a token's vector.
        filters: Number of filters of each width.
        widths: Widths of the filters, in tokens.
        dropout: Dropout rate after the pooling.

    Returns:
        A model to logits, float32 [batch, outputs], from a dict of "token_ids", int32 [batch,
        time], and "padding_mask", int32 [batch, time], 1 at real tokens and 0 at padding.

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    check_counts(
        "word_convnet",
        outputs=[outputs],
        vocabulary=[vocabulary],
        embedding=[embedding],
        filters=[filters],
        widths=widths,
    )
    check_rates("word_convnet", dropout=dropout)
    if not widths:
        raise ValueError("word_convnet: widths needs at least one width")
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    x = layers.Embedding(
        vocabulary, embedding, embeddings_initializer="uniform", name="token_embedding"
    )(token_ids)
    x = HiddenPadding(name="hidden_padding")(x, mask=mask)
    pooled = []
    for index, width in enumerate(widths, 1):
        maps = layers.Conv1D(
            filters,
            width,
            padding="same",
            activation="relu",
            kernel_initializer="glorot_uniform",
            name=f"conv{index}",
        )(x)
        pooled.append(SequencePooling("max", name=f"pooling{index}")(maps, mask=mask))
    x = layers.Concatenate(name="features")(pooled) if len(pooled) > 1 else pooled[0]
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(
        outputs,
        kernel_initializer="glorot_uniform",
        kernel_constraint=keras.constraints.MaxNorm(3.0, axis=0),
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model({"token_ids": token_ids, "padding_mask": mask}, logits, name="word_convnet")


@keras.saving.register_keras_serializable(package="architectures")
class HiddenPadding(layers.Layer):
    """Sets padding steps to zero: float [batch, time, features], mask [batch, time]."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return inputs
        return inputs * keras.ops.cast(keras.ops.expand_dims(mask, -1), inputs.dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None
