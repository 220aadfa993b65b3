"""The tokens of captions, as a decoder reads and predicts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.text.reversible import PAD, SENTENCES, ReversibleTokenizer, chunks

START, END = (SENTENCES["words"].special.index(token) for token in ("[START]", "[END]"))
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Captions:
    """The tokens of the captions of a split's images.

    Attributes:
        ids: A caption after `START`, with `END` and padding, int32 [captions, tokens + 1].
        first: Number of each image's first caption, int64 [images].
        counts: Number of its captions, int64 [images].
        long: Number of captions that are truncated.
    """

    ids: np.ndarray
    first: np.ndarray
    counts: np.ndarray
    long: int

    def examples(self, images: tf.data.Dataset, epoch: Any) -> tf.data.Dataset:
        """Returns images with one caption each, as examples of `CaptionedImages`.

        Args:
            images: uint8 [height, width, channels] examples.
            epoch: Number of the epoch, int64 []; the captions of an image take turns.
        """
        ids, first, counts = (tf.constant(x) for x in (self.ids, self.first, self.counts))

        def example(index: tf.Tensor, image: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
            turn = (tf.cast(epoch, tf.int64) + index) % counts[index]
            caption = ids[first[index] + turn]
            target, following = caption[:-1], caption[1:]
            mask = tf.cast(following != PAD, tf.int32)
            inputs = {"images": image, "target_ids": target * mask, "target_padding_mask": mask}
            return inputs, following, tf.cast(mask, tf.float32)

        return images.enumerate().map(example, num_parallel_calls=tf.data.AUTOTUNE)


def tokens_of(
    tokenizer: ReversibleTokenizer, references: Sequence[tuple[str, ...]]
) -> tf.RaggedTensor:
    """Returns the tokens of all captions, image by image, ragged int32 [captions, tokens]."""
    texts = (text for own_references in references for text in own_references)
    return tf.concat([tokenizer(tf.constant(chunk)) for chunk in chunks(texts, _CHUNK)], axis=0)


def cut(tokens: tf.RaggedTensor, references: Sequence[tuple[str, ...]], longest: int) -> Captions:
    """Returns the tokens of all captions of a split, each cut to `longest`, its end included."""

    def column(token: int) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_tensor(tf.fill([tokens.nrows(), 1], token))

    following = tf.concat([tokens, column(END)], 1)[:, :longest]
    ids = tf.concat([column(START), following], 1).to_tensor(PAD, shape=[None, longest + 1])
    counts = np.array([len(own_references) for own_references in references], np.int64)
    long = int(np.sum(tokens.row_lengths().numpy() >= longest))
    return Captions(ids.numpy(), np.cumsum(counts) - counts, counts, long)
