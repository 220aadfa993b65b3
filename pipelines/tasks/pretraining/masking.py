"""Masked language modelling: which tokens are hidden, behind what, and what stood there.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
2019, section 3.1: of 15 % of the tokens, 80 % become [MASK], 10 % a random token, and 10 % stay
what they are. With whole words (the authors' later release, and Cui et al. 2021), all pieces of a
chosen word are among them. Drawn in the graph from a seed: anew for every training batch (Liu et
al. 2019, "dynamic masking"), once and for all in validation and test.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from pipelines.text.tokenizers import SPECIAL, WordPieces

MASK = "[MASK]"


class Masking:
    """Hides tokens of batches.

    Attributes:
        share: Share of the tokens that are chosen, [CLS] and its like and padding left out.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        share: float = 0.15,
        *,
        whole_words: bool = False,
        hidden: float = 0.8,
        random: float = 0.1,
    ) -> None:
        """Takes note of what to do.

        Args:
            vocabulary: WordPieces in the order of their ids; pieces within a word begin with "##".
            share: Share of the tokens that are chosen.
            whole_words: Whether words are chosen whole.
            hidden: Share of the chosen tokens that become [MASK].
            random: Share of them that become a random token; the rest stay as they are.
        """
        self.share = share
        self._hidden, self._random = hidden, random
        self._mask = vocabulary.index(MASK)
        plain = [token not in SPECIAL and bool(token) for token in vocabulary]
        self._plain = tf.constant(plain)
        self._others = tf.constant([i for i, usual in enumerate(plain) if usual], tf.int32)
        self._within = tf.constant([whole_words and token[:2] == "##" for token in vocabulary])

    def __call__(
        self, token_ids: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Hides tokens of int32 [batch, tokens], the same ones for the same seed, int32 [2].

        Of every text `share` of the tokens are chosen, rounded, and at least one if it has any;
        of whole words as many as come nearest to that, at least one.

        Returns:
            The tokens afterwards, int32 [batch, tokens]; the places of the chosen ones, in their
            order, and what stood there, both int32 [batch, chosen]. Short rows end with zeros:
            place 0 is [CLS], which is never chosen, and token 0 is [PAD].
        """
        seeds = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 3))
        usual = tf.gather(self._plain, token_ids)
        chosen = self._chosen(token_ids, usual, seeds[0])
        what = tf.random.stateless_uniform(tf.shape(token_ids), seeds[1])
        drawn = tf.random.stateless_uniform(
            tf.shape(token_ids), seeds[2], 0, tf.size(self._others), tf.int32
        )
        instead = tf.where(what < self._hidden + self._random, tf.gather(self._others, drawn), -1)
        instead = tf.where(what < self._hidden, self._mask, instead)
        masked = tf.where(chosen & (instead >= 0), instead, token_ids)
        places = tf.broadcast_to(tf.range(tf.shape(token_ids)[1]), tf.shape(token_ids))
        positions, targets = (
            tf.ragged.boolean_mask(x, chosen).to_tensor() for x in (places, token_ids)
        )
        return masked, positions, targets

    def _chosen(self, token_ids: tf.Tensor, usual: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws words of each text in random order until they have enough tokens."""
        batch, time = tf.unstack(tf.shape(token_ids))
        goes_on = tf.gather(self._within, token_ids)[:, 1:] & usual[:, :-1]
        starts = usual & ~tf.pad(goes_on, [[0, 0], [1, 0]])
        word = tf.maximum(tf.cumsum(tf.cast(starts, tf.int32), axis=1) - 1, 0)
        # How many tokens each word has; what is behind the last word has none.
        slot = tf.range(batch)[:, tf.newaxis] * time + word
        counted = tf.math.unsorted_segment_sum(tf.cast(usual, tf.int32), slot, batch * time)
        counted = tf.reshape(counted, [batch, time])

        order = tf.argsort(tf.random.stateless_uniform([batch, time], seed), axis=1)
        own = tf.gather(counted, order, batch_dims=1)
        before = tf.cumsum(own, axis=1, exclusive=True)
        wanted = tf.round(self.share * tf.cast(tf.reduce_sum(own, 1, keepdims=True), tf.float32))
        middle = tf.cast(before, tf.float32) + tf.cast(own, tf.float32) / 2
        taken = (own > 0) & ((before == 0) | (middle <= wanted))
        taken = tf.gather(taken, tf.argsort(order, axis=1), batch_dims=1)
        return usual & tf.gather(taken, word, batch_dims=1)


def split_masked(tokenizer: WordPieces, texts: tf.Tensor) -> tf.RaggedTensor:
    """Cuts strings [batch] into tokens, ragged int32 [batch, tokens], and keeps each "[MASK]"."""
    parts = tf.strings.split(texts, MASK)
    tokens = tokenizer.split(parts.flat_values)
    first = tf.ragged.range(parts.row_lengths()) == 0
    mask = tf.constant(tokenizer.vocabulary.index(MASK), tf.int32)
    masks = tf.RaggedTensor.from_row_lengths(
        tf.fill([tf.reduce_sum(tf.cast(~first.flat_values, tf.int32))], mask),
        tf.cast(~first.flat_values, tf.int64),
    )
    return parts.with_flat_values(tf.concat([masks, tokens], 1)).merge_dims(1, 2)
