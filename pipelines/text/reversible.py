"""Reversible tokenizers: text to token ids and back, for networks that generate text.

Schemes for running text keep every space in the tokens, so that the probability of the tokens is
one of the text and bits per character compare across schemes. White space is normalized: a run of
it becomes one space, or its line breaks alone; none is left at the ends. Then

- "characters": each character is a token;
- "words": a word, a punctuation mark or a line break is a token, and a space before it is its first
  character, written "▁" (Kudo & Richardson, "SentencePiece", 2018): "It is so." is It ▁is ▁so .
- "word_pieces": such tokens are cut further into WordPieces (Schuster & Nakajima 2012), the longest
  first, with "##" before those that continue a word.

Schemes for sentences make one space of all white space, and tokens do not hold it:

- "characters", and "words" between spaces;
- "pieces": WordPieces of words and punctuation marks. A mark that touches a word or mark next to it
  has a joiner, as in the tokenizer of OpenNMT (Klein et al. 2017): `Dijo: «Sea»` becomes
  `Dijo ￭: «￭ Sea ￭»`.

Case stays. Only WordPieces, and the marks of sentences, take ops of TF-Text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras_hub
import tensorflow as tf
import tensorflow_text

from pipelines.text.tokenizers import is_lowercase, split_words

PAD, UNKNOWN = range(2)
JOINER = "￭"
_SPACE, _LINE = "▁", "⏎"
_CONTINUES = "##"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_MARK = r"[!-/:-@\[-`{-~]|\p{P}"
_CHUNK = 512


@dataclass(frozen=True)
class SpecialIds:
    """The ids of running text's special tokens.

    Attributes:
        end: Stands before, between and after documents.
        padding: Fills rows; it may be the end token.
        unknown: Stands for what no token does; None where every text has tokens.
        banned: Are never generated.
    """

    end: int
    padding: int
    unknown: int | None
    banned: tuple[int, ...]


@dataclass(frozen=True)
class Scheme:
    """A way to cut texts into units and to join tokens to texts.

    Attributes:
        special: Special tokens in the order of their ids, padding and the unknown token first.
        normalize: Normalizes the white space of strings [batch].
        split: From normalized strings [batch] to units, ragged string [batch, units].
        join: From texts of tokens, ragged string [batch, tokens], to strings [batch].
        token_text: From a token of the vocabulary to its text.
        unknown: Text of the unknown token.
        subwords: Whether units are cut into WordPieces.
        follows_case: Whether a vocabulary without capital letters reads texts in lower case.
    """

    special: tuple[str, ...]
    normalize: Callable[[tf.Tensor], tf.Tensor]
    split: Callable[[tf.Tensor], tf.RaggedTensor]
    join: Callable[[tf.RaggedTensor], tf.Tensor]
    token_text: Callable[[str], str] = str
    unknown: str = ""
    subwords: bool = False
    follows_case: bool = False


class ReversibleTokenizer:
    """Turns texts into token ids and back, the same in training and in the served graph.

    Attributes:
        vocabulary: Tokens in the order of their ids, the scheme's special ones first.
        special: Number of special tokens.
        ids: The ids of those of running text.
        alphabet: Number of different characters in the texts that it was trained on.
        resources: What the graph uses besides constants, for the export to track.
    """

    def __init__(self, scheme: Scheme, vocabulary: Sequence[str], alphabet: int = 0) -> None:
        """Takes a vocabulary as `train` makes it."""
        self.vocabulary, self.alphabet = list(vocabulary), alphabet
        self.resources: list[Any] = []
        self._scheme, self.special = scheme, len(scheme.special)
        self.ids = RUNNING_TEXT_IDS
        own = self.vocabulary[self.special :]
        self._lowercase = scheme.follows_case and is_lowercase(own)
        if scheme.subwords:
            self._pieces = tensorflow_text.FastWordpieceTokenizer(
                self.vocabulary,
                suffix_indicator=_CONTINUES,
                token_out_type=tf.int32,
                no_pretokenization=True,
            )
        else:
            # Special tokens are left out: "[END]" in a text is a word, and unknown.
            keys = tf.constant([scheme.special[UNKNOWN], *own])
            ids = tf.constant([UNKNOWN, *range(self.special, len(self.vocabulary))], tf.int32)
            table = tf.lookup.KeyValueTensorInitializer(keys, ids)
            self._table = tf.lookup.StaticHashTable(table, UNKNOWN)
            self.resources = [self._table]
        special = [""] * self.special
        special[UNKNOWN] = scheme.unknown
        shown = [*special, *map(scheme.token_text, own)]
        self._shown = tf.constant(shown)
        self._lengths = tf.constant([len(text) for text in shown], tf.int32)

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Turns strings [batch] into ragged int32 [batch, tokens], special ones left out."""
        return self.with_lengths(texts)[0]

    def with_lengths(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Returns the ids of tokens, and how many characters of the text each stands for.

        Both are ragged int32 [batch, tokens]. The lengths add up to the text's in the schemes for
        running text, whose tokens hold the spaces.
        """
        texts = self._scheme.normalize(texts)
        if self._lowercase:
            texts = tf.strings.lower(texts, encoding="utf-8")
        units = self._scheme.split(texts)
        whole = tf.strings.length(units.flat_values, "UTF8_CHAR")
        if not self._scheme.subwords:
            ids = self._table.lookup(units)
            return ids, ids.with_flat_values(whole)
        pieces = self._pieces.tokenize(units.flat_values)
        whole = tf.repeat(whole, pieces.row_lengths())
        lengths = tf.gather(self._lengths, pieces.flat_values)
        # A word that no pieces make is one unknown token.
        lengths = tf.where(pieces.flat_values == UNKNOWN, whole, lengths)
        splits = tf.gather(pieces.row_splits, units.row_splits)
        ids = tf.RaggedTensor.from_row_splits(pieces.flat_values, splits)
        return ids, ids.with_flat_values(lengths)

    def detokenize(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Joins tokens, int32 [batch, tokens], to strings [batch].

        What follows [END] is left out, as are special tokens; an unknown token of running text is
        "\N{REPLACEMENT CHARACTER}".
        """
        if isinstance(ids, tf.RaggedTensor):
            ids = ids.to_tensor()
        ends = tf.cast(ids == self._scheme.special.index("[END]"), tf.int32)
        shown = tf.gather(self._shown, ids)
        kept = (tf.cumsum(ends, axis=1) == 0) & (shown != "")
        return self._scheme.join(tf.ragged.boolean_mask(shown, kept))

    def token_texts(self, ids: Iterable[int]) -> list[str]:
        """Returns the text of each token, special ones by their names."""
        text = self._scheme.token_text
        return [self.vocabulary[i] if i < self.special else text(self.vocabulary[i]) for i in ids]


def train(
    scheme: Scheme, texts: Iterable[str], size: int, *, max_characters: float = math.inf
) -> ReversibleTokenizer:
    """Trains a tokenizer.

    Args:
        scheme: How texts are cut.
        texts: Texts of the training split.
        size: Maximum size of the vocabulary, special tokens included: the most frequent units, the
            first in the order of their characters where several are equally frequent, or about as
            many WordPieces.
        max_characters: Number of characters after which no more texts are read.
    """
    counts: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for chunk in chunks(texts):
        units = scheme.split(scheme.normalize(tf.constant(chunk)))
        counts.update(unit.decode() for unit in units.flat_values.numpy())
        characters.update("".join(chunk))
        if characters.total() > max_characters:
            break
    if scheme.subwords and counts:
        words = tf.data.Dataset.from_tensor_slices(
            tf.constant(list(counts.elements()), tf.string)
        ).batch(100_000)
        found = keras_hub.tokenizers.compute_word_piece_vocabulary(
            words,
            vocabulary_size=size,
            split=False,
            suffix_indicator=_CONTINUES,
            reserved_tokens=list(scheme.special),
        )
    else:
        ranked = sorted(counts.keys() - scheme.special, key=lambda unit: (-counts[unit], unit))
        found = ranked[: size - len(scheme.special)]
    own = [token for token in found if token not in scheme.special]
    return ReversibleTokenizer(scheme, [*scheme.special, *own], len(characters))


def chunks(texts: Iterable[str], size: int = _CHUNK) -> Iterator[list[str]]:
    """Yields lists of `size` texts; the last one may be shorter."""
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def normalize_lines(texts: tf.Tensor) -> tf.Tensor:
    """Makes one space, or its line breaks, of each run of white space, and none at the ends."""
    for pattern, plain in (
        (r"\r\n?|[\x{85}\x{2028}\x{2029}]", "\n"),
        # The signs for spaces and lines, and control characters, count as spaces.
        (rf"[\p{{Z}}{_SPACE}{_LINE}\x00-\x09\x0B-\x1F\x{{7F}}-\x{{9F}}]+", " "),
        (r" ?\n ?", "\n"),
        (r"^[ \n]+|[ \n]+$", ""),
    ):
        texts = tf.strings.regex_replace(texts, pattern, plain)
    return texts


def normalize_spaces(texts: tf.Tensor) -> tf.Tensor:
    """Makes one space of all white space and control characters between words, and none around."""
    return tf.strings.strip(tf.strings.regex_replace(texts, r"[\p{Z}\p{Cc}]+", " "))


def split_characters(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits strings [batch] into characters, string [batch, characters]."""
    return tf.strings.unicode_split(texts, "UTF-8")


def split_words_and_spaces(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits strings [batch] into words with their spaces, marks and lines, [batch, words]."""
    texts = tf.strings.regex_replace(texts, " ", f" {_SPACE}")
    texts = tf.strings.regex_replace(texts, "\n", f" {_LINE} ")
    marks = rf"({_SPACE}?[^\p{{L}}\p{{M}}\p{{N}}\s{_SPACE}{_LINE}])"
    return tf.strings.split(tf.strings.regex_replace(texts, marks, r" \1 "))


def split_words_and_marks(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits strings [batch] into words and marks with joiners, string [batch, words]."""
    texts = tensorflow_text.normalize_utf8(texts, "NFC")
    texts = tf.strings.regex_replace(texts, JOINER, " ")
    words, starts, ends = split_words(texts, punctuation_apart=True)
    row, word = words.value_rowids(), words.flat_values
    mark = tf.strings.regex_full_match(word, _MARK)
    touches = (row[1:] == row[:-1]) & (starts.flat_values[1:] == ends.flat_values[:-1])
    touches = tf.concat([[False], touches, [False]], 0)
    # Of two marks that touch, the second has the joiner.
    followed = tf.concat([~mark[1:], [False]], 0)
    before = mark & touches[: tf.size(word)]
    after = mark & touches[1:][: tf.size(word)] & followed[: tf.size(word)]
    joined = [tf.where(before, JOINER, ""), word, tf.where(after, JOINER, "")]
    return words.with_flat_values(tf.strings.join(joined))


def _join(tokens: tf.RaggedTensor, separator: str = "") -> tf.Tensor:
    return tf.strings.reduce_join(tokens, axis=-1, separator=separator)


def _join_marks(tokens: tf.RaggedTensor) -> tf.Tensor:
    texts = tf.strings.regex_replace(_join(tokens, " "), f" {_CONTINUES}", "")
    return tf.strings.regex_replace(texts, f" ?{JOINER} ?", "")


def _plain(token: str) -> str:
    """Returns the text of a token of running text."""
    token = token.removeprefix(_CONTINUES) if token != _CONTINUES else token
    return token.replace(_SPACE, " ").replace(_LINE, "\n")


# [END] stands after each text, and so before the next one.
RUNNING_TEXT_IDS = SpecialIds(end=2, padding=PAD, unknown=UNKNOWN, banned=(PAD, UNKNOWN))
_running_text = partial(
    Scheme,
    ("[PAD]", "[UNK]", "[END]"),
    normalize_lines,
    join=_join,
    token_text=_plain,
    unknown=_REPLACEMENT,
)
RUNNING_TEXT = {
    "characters": _running_text(split_characters),
    "words": _running_text(split_words_and_spaces),
    "word_pieces": _running_text(split_words_and_spaces, subwords=True),
}

_sentences = partial(Scheme, ("[PAD]", "[UNK]", "[START]", "[END]"), normalize_spaces)
SENTENCES = {
    "characters": _sentences(split_characters, _join, follows_case=True),
    "words": _sentences(tf.strings.split, partial(_join, separator=" "), follows_case=True),
    "pieces": _sentences(split_words_and_marks, _join_marks, subwords=True),
}
