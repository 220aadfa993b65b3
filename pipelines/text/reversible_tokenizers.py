"""Tokens that can be joined to the text they came from: what language models read and write.

Three kinds, from one rule. White space is made plain: a run of it becomes one space, or, where it
holds line breaks, these alone; none is left at the ends. Then

- "characters": each character is a token;
- "words": a word, a punctuation mark or a line break is a token, and a space before it is its first
  character, written "▁" (Kudo & Richardson, "SentencePiece", 2018): "It is so." is It ▁is ▁so .
- "word_pieces": such tokens are cut further into WordPieces (Schuster & Nakajima 2012), the longest
  first, with "##" before those that go on with a word.

So the tokens hold every space, and the probability of tokens is one of the text: bits per character
compare across kinds. Case stays. Only "word_pieces" takes an op of TF-Text.

[PAD] is id 0; [UNK], for what the vocabulary lacks, is 1. [END], 2, stands after each text and so
before the next one: it begins a text, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras_hub
import tensorflow as tf
import tensorflow_text

KINDS = ("characters", "words", "word_pieces")
PAD, UNKNOWN, END = range(3)
SPECIAL = ("[PAD]", "[UNK]", "[END]")
_SPACE, _LINE = "▁", "⏎"
_GOES_ON = "##"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# A vocabulary of more characters of text would be about the same.
_MOST_CHARACTERS = 20_000_000
_CHUNK = 512


class ReversibleTokenizer:
    """Turns texts into token ids and back.

    Attributes:
        kind: One of `KINDS`.
        vocabulary: Tokens in the order of their ids, `SPECIAL` first.
        alphabet: Number of different characters in the texts that the vocabulary was made of.
        resources: What the graph uses besides constants, for the export to keep track of.
    """

    def __init__(self, kind: str, vocabulary: Sequence[str], alphabet: int) -> None:
        """Takes a vocabulary as `learn` makes it."""
        self.kind, self.vocabulary, self.alphabet = kind, list(vocabulary), alphabet
        self.resources: list[Any] = []
        if kind == "word_pieces":
            self._pieces = tensorflow_text.FastWordpieceTokenizer(
                self.vocabulary,
                suffix_indicator=_GOES_ON,
                token_out_type=tf.int32,
                no_pretokenization=True,
            )
        else:
            keys = tf.constant(self.vocabulary)
            table = tf.lookup.KeyValueTensorInitializer(keys, tf.range(len(self.vocabulary)))
            self._table = tf.lookup.StaticHashTable(table, UNKNOWN)
            self.resources = [self._table]
        shown = ["", _REPLACEMENT, "", *map(_plain, self.vocabulary[len(SPECIAL) :])]
        self._shown = tf.constant(shown)
        self._lengths = tf.constant([len(text) for text in shown], tf.int32)

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Turns strings [batch] into ragged int32 [batch, tokens], without [END]."""
        return self.with_lengths(texts)[0]

    def with_lengths(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Returns the tokens' ids, and how many characters of the text each stands for.

        Both are ragged int32 [batch, tokens].
        """
        units = split(texts, self.kind)
        whole = tf.strings.length(units.flat_values, "UTF8_CHAR")
        if self.kind != "word_pieces":
            ids = self._table.lookup(units)
            return ids, ids.with_flat_values(whole)
        pieces = self._pieces.tokenize(units.flat_values)
        whole = tf.repeat(whole, pieces.row_lengths())
        lengths = tf.gather(self._lengths, pieces.flat_values)
        # Of a word that cannot be made of pieces, all is unknown.
        lengths = tf.where(pieces.flat_values == UNKNOWN, whole, lengths)
        splits = tf.gather(pieces.row_splits, units.row_splits)
        return tuple(
            tf.RaggedTensor.from_row_splits(values, splits)
            for values in (pieces.flat_values, lengths)
        )

    def text(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Joins the tokens int32 [batch, tokens] to strings [batch].

        Padding and [END] leave nothing; what was unknown is "\N{REPLACEMENT CHARACTER}".
        """
        return tf.strings.reduce_join(tf.gather(self._shown, ids), axis=-1)

    def texts_of(self, ids: Iterable[int]) -> list[str]:
        """Returns the text of each token, special ones by their names."""
        return [self.vocabulary[i] if i < len(SPECIAL) else _plain(self.vocabulary[i]) for i in ids]


def learn(kind: str, texts: Iterable[str], size: int) -> ReversibleTokenizer:
    """Returns a tokenizer for `texts`.

    Args:
        kind: One of `KINDS`.
        texts: Texts of the training split; of the first 20 million characters are learned.
        size: Tokens at most, those of `SPECIAL` among them: the most frequent words or
            characters, or about as many pieces.
    """
    counts: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for chunk in chunks(texts):
        units = split(tf.constant(chunk), kind)
        counts.update(unit.decode() for unit in units.flat_values.numpy())
        characters.update("".join(chunk))
        if characters.total() > _MOST_CHARACTERS:
            break
    if kind == "word_pieces":
        words = tf.data.Dataset.from_tensor_slices(list(counts.elements())).batch(100_000)
        vocabulary = keras_hub.tokenizers.compute_word_piece_vocabulary(
            words,
            vocabulary_size=size,
            split=False,
            suffix_indicator=_GOES_ON,
            reserved_tokens=list(SPECIAL),
        )
    else:
        # Of equally frequent ones, the first in the alphabet.
        ranked = sorted(counts, key=lambda unit: (-counts[unit], unit))
        vocabulary = [*SPECIAL, *ranked[: size - len(SPECIAL)]]
    return ReversibleTokenizer(kind, vocabulary, len(characters))


def split(texts: tf.Tensor, kind: str) -> tf.RaggedTensor:
    """Splits strings [batch] into what is looked up, ragged string [batch, units].

    Args:
        texts: UTF-8.
        kind: "characters", or one of the others for words.
    """
    texts = _with_plain_space(texts)
    if kind == "characters":
        return tf.strings.unicode_split(texts, "UTF-8")
    texts = tf.strings.regex_replace(texts, " ", f" {_SPACE}")
    texts = tf.strings.regex_replace(texts, "\n", f" {_LINE} ")
    marks = rf"({_SPACE}?[^\p{{L}}\p{{M}}\p{{N}}\s{_SPACE}{_LINE}])"
    return tf.strings.split(tf.strings.regex_replace(texts, marks, r" \1 "))


def _with_plain_space(texts: tf.Tensor) -> tf.Tensor:
    for pattern, plain in (
        (r"\r\n?|[\x{85}\x{2028}\x{2029}]", "\n"),
        # The marks themselves, and control characters, are as good as spaces.
        (rf"[\p{{Z}}{_SPACE}{_LINE}\x00-\x09\x0B-\x1F\x{{7F}}-\x{{9F}}]+", " "),
        (r" ?\n ?", "\n"),
        (r"^[ \n]+|[ \n]+$", ""),
    ):
        texts = tf.strings.regex_replace(texts, pattern, plain)
    return texts


def _plain(token: str) -> str:
    """Returns what a token stands for in its text."""
    token = token.removeprefix(_GOES_ON) if token != _GOES_ON else token
    return token.replace(_SPACE, " ").replace(_LINE, "\n")


def chunks(texts: Iterable[str], size: int = _CHUNK) -> Iterator[list[str]]:
    """Yields lists of `size` texts, the last with what is left."""
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
