"""Masking for masked language modeling: which tokens are masked, with what, and the targets.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
2019, section 3.1: of 15 % of the tokens, 80 % become [MASK], 10 % a random token, and 10 % stay
what they are. With whole words (the authors' later release, and Cui et al. 2021), all pieces of a
word are chosen together. Drawn in the graph from a seed: again for every training batch (Liu et al.
2019, "dynamic masking"), and only once in validation and test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from pipelines.stateless import stream, uniform
from pipelines.text.tokenizers import SPECIAL, WordPieces

MASK = "[MASK]"

Batch = dict[str, tf.Tensor]
# From a padded batch of inputs and targets, and one seed, int32 [2], or one for each example, int32
# [batch, 2], to a masked batch.
Mask = Callable[[Batch, Batch, tf.Tensor], tuple[Batch, Batch]]


class Masking:
    """Masks tokens of batches.

    Attributes:
        rate: Fraction of the tokens that are chosen; special tokens and padding do not count.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        rate: float = 0.15,
        *,
        whole_words: bool = False,
        mask_rate: float = 0.8,
        random_rate: float = 0.1,
    ) -> None:
        """Takes the vocabulary and the rates.

        Args:
            vocabulary: WordPieces in the order of their ids; pieces within a word begin with "##".
            rate: Fraction of the tokens that are chosen.
            whole_words: Whether words are chosen whole.
            mask_rate: Fraction of the chosen tokens that become [MASK].
            random_rate: Fraction of them that become a random token; the rest stay as they are.
        """
        self.rate = rate
        self._mask_rate, self._random_rate = mask_rate, random_rate
        self._mask_id = vocabulary.index(MASK)
        ordinary = ordinary_tokens(vocabulary)
        self._ordinary = tf.constant(ordinary)
        self._candidates = tf.constant(np.flatnonzero(ordinary), tf.int32)
        self._within = tf.constant([whole_words and token[:2] == "##" for token in vocabulary])

    def __call__(
        self, token_ids: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Masks tokens of int32 [batch, tokens], the same ones for the same seed.

        `rate` of the tokens of every text are chosen, rounded, and at least one if it has any; of
        whole words as many as come nearest to that, at least one.

        Args:
            token_ids: int32 [batch, tokens].
            seed: int32 [2], or [batch, 2] to mask each text as it would be in any other batch.

        Returns:
            The masked tokens, int32 [batch, tokens]; the positions of the chosen ones, ascending,
            and the original tokens there, both int32 [batch, chosen]. Short rows end with zeros:
            position 0 is [CLS], which is never chosen, and token 0 is [PAD].
        """
        ordinary = tf.gather(self._ordinary, token_ids)
        order, what, drawn = _draw(
            tf.cast(seed, tf.int32), tf.shape(token_ids), tf.size(self._candidates)
        )
        chosen = self._chosen(token_ids, ordinary, order)
        random = what < self._mask_rate + self._random_rate
        replacement = tf.where(random, tf.gather(self._candidates, drawn), -1)
        replacement = tf.where(what < self._mask_rate, self._mask_id, replacement)
        masked = tf.where(chosen & (replacement >= 0), replacement, token_ids)
        positions = tf.broadcast_to(tf.range(tf.shape(token_ids)[1]), tf.shape(token_ids))
        positions, targets = (
            tf.ragged.boolean_mask(x, chosen).to_tensor() for x in (positions, token_ids)
        )
        return masked, positions, targets

    def mask_batch(self, inputs: Batch, target: Batch, seed: tf.Tensor) -> tuple[Batch, Batch]:
        """Masks "token_ids" of a batch; adds "mask_positions", and the target "masked_lm"."""
        ids, positions, original = self(inputs["token_ids"], seed)
        inputs = {**inputs, "token_ids": ids, "mask_positions": positions}
        return inputs, {"masked_lm": original, **target}

    def _chosen(self, token_ids: tf.Tensor, ordinary: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
        """Draws words of each text, in the order of random numbers, until there are enough."""
        batch, time = tf.unstack(tf.shape(token_ids))
        continues = tf.gather(self._within, token_ids)[:, 1:] & ordinary[:, :-1]
        starts = ordinary & ~tf.pad(continues, [[0, 0], [1, 0]])
        word = tf.maximum(tf.cumsum(tf.cast(starts, tf.int32), axis=1) - 1, 0)
        # Tokens of each word; slots after the last word have none.
        slot = tf.range(batch)[:, tf.newaxis] * time + word
        lengths = tf.math.unsorted_segment_sum(tf.cast(ordinary, tf.int32), slot, batch * time)
        lengths = tf.reshape(lengths, [batch, time])

        order = tf.argsort(order, axis=1)
        own = tf.gather(lengths, order, batch_dims=1)
        before = tf.cumsum(own, axis=1, exclusive=True)
        target = tf.round(self.rate * tf.cast(tf.reduce_sum(own, 1, keepdims=True), tf.float32))
        middle = tf.cast(before, tf.float32) + tf.cast(own, tf.float32) / 2
        selected = (own > 0) & ((before == 0) | (middle <= target))
        selected = tf.gather(selected, tf.argsort(order, axis=1), batch_dims=1)
        return ordinary & tf.gather(selected, word, batch_dims=1)


def _draw(
    seed: tf.Tensor, shape: tf.Tensor, below: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns two uniform numbers, and an integer below a number, for each token of a batch."""
    if seed.shape.rank == 2:
        order, what, which = (uniform(stream(seed, number), shape[1:]) for number in range(3))
        drawn = tf.cast(which * tf.cast(below, tf.float32), tf.int32)
        return order, what, tf.minimum(drawn, below - 1)
    first, second, third = tf.unstack(tf.random.split(seed, 3))
    return (
        tf.random.stateless_uniform(shape, first),
        tf.random.stateless_uniform(shape, second),
        tf.random.stateless_uniform(shape, third, 0, below, tf.int32),
    )


def ordinary_tokens(vocabulary: Sequence[str]) -> np.ndarray:
    """Returns which tokens of a vocabulary are not special as [CLS] is, bool [vocabulary]."""
    return np.array([token not in SPECIAL and bool(token) for token in vocabulary])


def split_masked(tokenizer: WordPieces, texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits strings [batch] into tokens, ragged int32 [batch, tokens]; "[MASK]" is one token."""
    parts = tf.strings.split(texts, MASK)
    tokens = tokenizer.split(parts.flat_values)
    first = tf.ragged.range(parts.row_lengths()) == 0
    mask = tf.constant(tokenizer.vocabulary.index(MASK), tf.int32)
    masks = tf.RaggedTensor.from_row_lengths(
        tf.fill([tf.reduce_sum(tf.cast(~first.flat_values, tf.int32))], mask),
        tf.cast(~first.flat_values, tf.int64),
    )
    return parts.with_flat_values(tf.concat([masks, tokens], 1)).merge_dims(1, 2)
