"""fastText: the mean of the vectors of words and of their n-grams, and one linear layer.

Joulin, Grave, Bojanowski & Mikolov, "Bag of Tricks for Efficient Text Classification", 2017, figure
1. An n-gram, a run of n adjacent tokens, has a vector of its own, which tells the network a little
of the order of words; n-grams share a table of fixed size by hashing (section 2.2).

The network reads token ids, as every network on text here: an n-gram is hashed from the ids of its
tokens, in the graph, h_1 = w_t and h_n = a h_{n-1} + w_{t+n-1} modulo 2^32, and then modulo the
number of buckets. Tokens and n-grams count alike in the mean. With one layer after it there is no
activation; the paper's code has no dropout, which helps where texts are few.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from architectures.checks import check_counts, check_rates

# The multiplier of the paper's code, modulo 2^32.
_MULTIPLIER = 116_049_371


def fasttext(
    *,
    outputs: int,
    vocabulary: int,
    embedding: int = 10,
    ngrams: int = 2,
    buckets: int = 2_000_000,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a bag of words and n-grams.

    Args:
        outputs: Number of logits per text.
        vocabulary: Number of tokens.
        embedding: Size of a vector.
        ngrams: Length of the longest n-grams, in tokens; 1 for none.
        buckets: Number of vectors that all n-grams share.
        dropout: Dropout rate of the mean vector.

    Returns:
        A model to logits, float32 [batch, outputs], from a dict of "token_ids", int32 [batch,
        time], and "padding_mask", int32 [batch, time], 1 at real tokens and 0 at padding.

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    check_counts(
        "fasttext",
        outputs=[outputs],
        vocabulary=[vocabulary],
        embedding=[embedding],
        ngrams=[ngrams],
        buckets=[buckets],
    )
    check_rates("fasttext", dropout=dropout)
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    words = layers.Embedding(vocabulary, embedding, name="token_embedding")(token_ids)
    vectors, masks = [words], [mask]
    if ngrams > 1:
        table = layers.Embedding(buckets, embedding, name="ngram_embedding")
        for length in range(2, ngrams + 1):
            hashed, real = HashedNgrams(length, buckets, name=f"hashed_{length}grams")(
                token_ids, mask=mask
            )
            vectors.append(table(hashed))
            masks.append(real)
    x = MeanOfAll(name="mean")(vectors, masks)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model({"token_ids": token_ids, "padding_mask": mask}, logits, name="fasttext")


@keras.saving.register_keras_serializable(package="architectures")
class HashedNgrams(layers.Layer):
    """From token ids, int32 [batch, time], to the buckets of all n-grams of one length.

    Args:
        length: Number of tokens of an n-gram, 2 or more.
        buckets: Number of buckets.

    Returns:
        Called with the ids and `mask`, int32 [batch, time], the bucket of the n-gram that begins at
        each step, int32 [batch, time], and a mask of the same shape: 0 where it would reach beyond
        the text.
    """

    def __init__(self, length: int, buckets: int, **options: Any) -> None:
        super().__init__(**options)
        self.length = length
        self.buckets = buckets

    def call(self, token_ids: Any, mask: Any) -> tuple[Any, Any]:
        steps = ops.shape(token_ids)[1]
        hashed, real = token_ids, mask
        for ahead in range(1, self.length):
            following, there = (
                ops.pad(x, ((0, 0), (0, ahead)))[:, ahead : ahead + steps]
                for x in (token_ids, mask)
            )
            hashed = hashed * ops.cast(_MULTIPLIER, "int32") + following  # Wraps around.
            real = real * there
        return ops.mod(hashed, self.buckets), real

    def compute_output_spec(self, token_ids: Any, mask: Any) -> tuple[Any, Any]:
        return tuple(keras.KerasTensor(x.shape, "int32") for x in (token_ids, mask))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length, "buckets": self.buckets}


@keras.saving.register_keras_serializable(package="architectures")
class MeanOfAll(layers.Layer):
    """The mean of the real steps of several sequences, float [batch, time, features] each.

    Called with the sequences and their masks, [batch, time] each; a text without real steps has the
    mean 0.
    """

    def call(self, sequences: list[Any], masks: list[Any]) -> Any:
        total: Any = 0.0
        count: Any = 0
        for sequence, mask in zip(sequences, masks, strict=True):
            real = ops.cast(mask, "bool")
            total = total + ops.sum(ops.where(real[:, :, None], sequence, 0.0), axis=1)
            count = count + ops.sum(ops.cast(real, "int32"), axis=1)
        return total / ops.cast(ops.maximum(count, 1), total.dtype)[:, None]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None
