"""Tokens that can be turned back into text: what a network that writes reads and writes.

`Pieces` are WordPieces (Wu et al., "Google's Neural Machine Translation System", 2016) of words and
punctuation marks. A mark that touches a word or mark next to it says so with a joiner, as in the
tokenizer of OpenNMT (Klein et al. 2017): `Dijo: «Sea»` becomes `Dijo ￭: «￭ Sea ￭»`. Apart from the
kind and the number of spaces, text comes back as it was. They take TF-Text's ops. `Symbols` are
characters, or words between spaces, and take ops of TensorFlow alone.

Either is a function from a batch of strings to token ids, the same in training and in the served
graph, and back. Id 0 is padding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import keras
import keras_hub
import numpy as np
import tensorflow as tf
import tensorflow_text

from pipelines.text.tokenizers import is_lowercase, split_words

SPECIAL = ("[PAD]", "[UNK]", "[START]", "[END]")
PAD, UNKNOWN, START, END = range(len(SPECIAL))
JOINER = "￭"
_MARK = r"[!-/:-@\[-`{-~]|\p{P}"
# Frequent words decide a vocabulary; more texts than these only take longer.
_MOST_TEXTS = 100_000
_CHUNK = 4096


class Reversible(Protocol):
    """Turns texts into tokens and back.

    Attributes:
        vocabulary: Tokens in the order of their ids, `SPECIAL` first.
        resources: What the graph uses besides constants, for the export to keep track of.
    """

    vocabulary: list[str]
    resources: list[Any]

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Turns strings [batch] into int32 [batch, tokens], none of which pads, starts or ends."""

    def texts(self, ids: tf.Tensor) -> tf.Tensor:
        """Turns int32 [batch, tokens] into strings [batch]; what follows an `END` is left out."""


class Pieces:
    """WordPieces of words and marks, with capital letters and accents."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Takes a vocabulary as `learn_pieces` returns it."""
        self.vocabulary = list(vocabulary)
        self.resources: list[Any] = []
        self._tokenizer = tensorflow_text.FastWordpieceTokenizer(
            self.vocabulary, token_out_type=tf.int32, no_pretokenization=True
        )

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self._tokenizer.tokenize(words_and_marks(texts)).merge_dims(1, 2)

    def texts(self, ids: tf.Tensor) -> tf.Tensor:
        joined = tf.strings.reduce_join(_written(self.vocabulary, ids), axis=-1, separator=" ")
        whole = tf.strings.regex_replace(joined, " ##", "")
        return tf.strings.regex_replace(whole, f" ?{JOINER} ?", "")


class Symbols:
    """Characters, or words between spaces.

    A vocabulary without capital letters reads texts in lower case.
    """

    def __init__(self, symbols: Sequence[str], *, characters: bool) -> None:
        """Takes the symbols, without `SPECIAL`, as `learn_symbols` returns them."""
        self.vocabulary = [*SPECIAL, *symbols]
        self._lowercase = is_lowercase(symbols)
        self._separator = "" if characters else " "
        # Of the layer's own, the first two ids are padding and what is unknown.
        self._layer = keras.layers.TextVectorization(
            standardize=None,
            split="character" if characters else "whitespace",
            ragged=True,
            vocabulary=self.vocabulary[2:],
        )
        self.resources: list[Any] = [self._layer]

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        texts = _with_plain_space(texts)
        if self._lowercase:
            texts = tf.strings.lower(texts, encoding="utf-8")
        ids = tf.cast(self._layer(texts), tf.int32)
        # Whoever writes "[END]" means the word.
        plain = tf.where(ids.flat_values < len(SPECIAL), UNKNOWN, ids.flat_values)
        return ids.with_flat_values(plain)

    def texts(self, ids: tf.Tensor) -> tf.Tensor:
        written = _written(self.vocabulary, ids)
        return tf.strings.reduce_join(written, axis=-1, separator=self._separator)


def _written(vocabulary: Sequence[str], ids: tf.Tensor) -> tf.RaggedTensor:
    """Returns tokens before the first `END`, string [batch, tokens], without the special ones."""
    before_end = tf.cumsum(tf.cast(ids == END, tf.int32), axis=1) == 0
    kept = tf.ragged.boolean_mask(ids, before_end & (ids >= len(SPECIAL)))
    return kept.with_flat_values(tf.gather(tf.constant(vocabulary), kept.flat_values))


def words_and_marks(texts: tf.Tensor) -> tf.RaggedTensor:
    """Cuts strings [batch] into words and marks with joiners, string [batch, words]."""
    texts = tensorflow_text.normalize_utf8(_with_plain_space(texts), "NFC")
    texts = tf.strings.regex_replace(texts, JOINER, " ")
    words, starts, ends = split_words(texts, punctuation_apart=True)
    row, word = words.value_rowids(), words.flat_values
    mark = tf.strings.regex_full_match(word, _MARK)
    touches = (row[1:] == row[:-1]) & (starts.flat_values[1:] == ends.flat_values[:-1])
    touches = tf.concat([[False], touches, [False]], 0)
    # Of two marks that touch, the second says so.
    followed = tf.concat([~mark[1:], [False]], 0)
    before = mark & touches[: tf.size(word)]
    after = mark & touches[1:][: tf.size(word)] & followed[: tf.size(word)]
    joined = [tf.where(before, JOINER, ""), word, tf.where(after, JOINER, "")]
    return words.with_flat_values(tf.strings.join(joined))


def _with_plain_space(texts: tf.Tensor) -> tf.Tensor:
    """Makes one space of all white space and control characters between words, and none around."""
    return tf.strings.strip(tf.strings.regex_replace(texts, r"[\p{Z}\p{Cc}]+", " "))


def learn_pieces(texts: np.ndarray, size: int) -> list[str]:
    """Returns a WordPiece vocabulary of about `size` tokens for `texts`, str [texts]."""
    words = (
        tf.data.Dataset.from_tensor_slices(texts[:_MOST_TEXTS]).batch(_CHUNK).map(words_and_marks)
    )
    learned = keras_hub.tokenizers.compute_word_piece_vocabulary(
        words, size, split=False, reserved_tokens=list(SPECIAL)
    )
    return [*SPECIAL, *(token for token in learned if token not in SPECIAL)]


def learn_symbols(texts: np.ndarray, size: int, *, characters: bool) -> list[str]:
    """Returns the most frequent characters or words of `texts`, str [texts].

    With `SPECIAL` they are at most `size`; equally frequent ones come in the order of their codes.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        spaced = " ".join(text.split())
        counts.update(spaced if characters else spaced.split())
    found = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
    return [symbol for symbol in found if symbol not in SPECIAL][: size - len(SPECIAL)]
