"""Byte pairs: GPT-2's tokens, from text to ids and back, in training and in the served graph.

Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2, after
Sennrich, Haddow & Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016. A
text is cut into units: contractions ('s, 't, 're, 've, 'm, 'll, 'd), runs of letters, of numbers
and of other characters, each with the space before it, and white space. The bytes of a unit are
tokens, of which two neighbors become one, the pair that was merged first in training before all
others, until no pair can be merged. So every text has tokens, none is unknown, and they join to
that very text, white space included: nothing is normalized. `<|endoftext|>` in a text is text.

Units are found by the classes of characters, not by a regular expression, which in a graph could
not look ahead; bytes that are not UTF-8 count as other characters. Letters and numbers are those
of Python's `unicodedata`. All ops are TensorFlow's own.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from pipelines.text.reversible import SpecialIds

END = "<|endoftext|>"
_OTHER, _LETTER, _NUMBER, _SPACE = range(4)
# Python's `\s` in Unicode: the property White_Space.
_WHITE_SPACE = (
    *("\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"),
    *("\u200a\u2028\u2029\u202f\u205f\u3000"),
)
# There are no letters and numbers above.
_CODE_POINTS = 0x32400
_CONTRACTIONS = ("s", "t", "re", "ve", "m", "ll", "d")
_NEVER = 2**31 - 1


def byte_characters() -> tuple[str, ...]:
    """Returns the character that stands for each byte in files of vocabularies and merges.

    Printable ones of Latin-1 stand for themselves, the others for characters from U+0100 on.
    """
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (chr(0x100 + number) for number in range(0x100 - len(shown)))
    return tuple(chr(byte) if byte in shown else next(others) for byte in range(0x100))


class BytePairTokenizer:
    """Turns texts into token ids and back, the same in training and in the served graph.

    Attributes:
        vocabulary: Tokens in the order of their ids, as files write them.
        merges: Pairs of tokens, the first to be merged first.
        ids: The ids of special tokens; padding is the end token, as GPT-2 has no other.
        alphabet: 0, as no character is unknown.
        resources: What the graph uses besides constants, for the export to track.
    """

    alphabet = 0

    def __init__(
        self, vocabulary: Sequence[str], merges: Sequence[tuple[str, str]], end: int
    ) -> None:
        """Takes tokens and merges in the characters of `byte_characters`.

        Args:
            vocabulary: Tokens in the order of their ids.
            merges: Pairs of tokens of the vocabulary.
            end: Id of the token between documents.

        Raises:
            ValueError: The vocabulary lacks a byte, or a token of a merge.
        """
        self.vocabulary, self.merges = list(vocabulary), list(merges)
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        id_of = {token: number for number, token in enumerate(self.vocabulary) if token}
        if lacking := sorted(byte_of.keys() - id_of.keys()):
            raise ValueError(f"the vocabulary lacks the token {lacking[0]!r}, which is a byte")
        for pair in self.merges:
            if unknown := {*pair, "".join(pair)} - id_of.keys():
                raise ValueError(
                    f"the vocabulary lacks the token {unknown.pop()!r} of the merge {pair}"
                )
        made = {*byte_of, *map("".join, self.merges)}
        # Tokens that no text has, as those that pad a vocabulary, are never generated.
        unused = {n for n, token in enumerate(self.vocabulary) if token not in made} - {end}
        self.ids = SpecialIds(end=end, padding=end, unknown=None, banned=tuple(sorted(unused)))
        self._bytes = [
            b"" if n in unused or n == end else bytes(byte_of[character] for character in token)
            for n, token in enumerate(self.vocabulary)
        ]
        self._shown = tf.constant(self._bytes)
        starts = [sum(byte & 0xC0 != 0x80 for byte in token) for token in self._bytes]
        self._lengths = tf.constant(starts, tf.int32)
        self._byte_ids = tf.constant([id_of[c] for c in byte_characters()], tf.int32)
        pairs = {
            id_of[a] * len(self.vocabulary) + id_of[b]: rank
            for rank, (a, b) in enumerate(self.merges)
        } or {-1: _NEVER}  # A table cannot be empty.
        ranks = tf.lookup.KeyValueTensorInitializer(
            tf.constant([*pairs], tf.int64), tf.constant([*pairs.values()], tf.int32)
        )
        self._ranks = tf.lookup.StaticHashTable(ranks, _NEVER)
        self._merged = tf.constant([id_of[a + b] for a, b in self.merges] or [0], tf.int32)
        self.resources: list[Any] = [self._ranks]
        # Traced once; outside a graph each op of the loop would be a call.
        self._tokenize = tf.function(
            self._tokens, input_signature=[tf.TensorSpec([None], tf.string)]
        )

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Turns strings [batch] into ragged int32 [batch, tokens], special ones left out."""
        return self._tokenize(texts)

    def with_lengths(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Returns the ids of tokens, and how many characters of the text begin in each.

        Both are ragged int32 [batch, tokens].
        """
        ids = self(texts)
        return ids, ids.with_flat_values(tf.gather(self._lengths, ids.flat_values))

    def detokenize(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Joins tokens, int32 [batch, tokens], to strings [batch]; the end token ends each.

        Tokens may be parts of characters, so that the bytes need not be UTF-8.
        """
        if isinstance(ids, tf.RaggedTensor):
            ids = ids.to_tensor(default_value=self.ids.end)
        ends = tf.cast(ids == self.ids.end, tf.int32)
        shown = tf.where(tf.cumsum(ends, axis=1) == 0, tf.gather(self._shown, ids), "")
        return tf.strings.reduce_join(shown, axis=-1)

    def token_texts(self, ids: Iterable[int]) -> list[str]:
        """Returns the text of each token; parts of characters, and special tokens, by name."""
        return [_text(self._bytes[number]) or self.vocabulary[number] for number in ids]

    def _tokens(self, texts: tf.Tensor) -> tf.RaggedTensor:
        joined, sizes = tf.strings.reduce_join(texts), tf.strings.length(texts)
        values = tf.cast(tf.io.decode_raw(joined, tf.uint8), tf.int32)
        symbols = tf.gather(self._byte_ids, values)
        merged = self._merge(symbols, tf.cumsum(_unit_starts(texts, sizes)))
        row = tf.repeat(tf.range(tf.size(sizes, tf.int64)), sizes)
        kept = merged >= 0
        return tf.RaggedTensor.from_value_rowids(
            merged[kept], row[kept], nrows=tf.size(sizes, tf.int64), validate=False
        )

    def _merge(self, symbols: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
        """Merges pairs of neighbors within units.

        Args:
            symbols: int32 [bytes], the token of each byte.
            unit: int32 [bytes], the number of each byte's unit.

        Returns:
            int32 [bytes], each token at its first byte, -1 elsewhere.
        """

        def unfinished(place: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return tf.size(place) > 0

        def step(
            place: tf.Tensor, ids: tf.Tensor, unit: tf.Tensor, merged: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            pairs = tf.cast(ids[:-1], tf.int64) * len(self.vocabulary)
            rank = self._ranks.lookup(pairs + tf.cast(ids[1:], tf.int64))
            rank = tf.where(unit[:-1] == unit[1:], rank, _NEVER)
            rank = tf.concat([rank, [_NEVER]], 0)
            new = tf.concat([[False], unit[1:] != unit[:-1]], 0)
            number = tf.cumsum(tf.cast(new, tf.int32))
            best = tf.gather(tf.math.segment_min(rank, number), number)
            # Of three equal tokens, the first two are the pair: every second one of a run is.
            chosen = (rank == best) & (rank < _NEVER)
            count = tf.range(tf.size(rank))
            breaks = tf.concat([[-1], tf.boolean_mask(count, ~chosen)], 0)
            run = count - tf.gather(breaks, tf.cumsum(tf.cast(~chosen, tf.int32))) - 1
            first = chosen & (run % 2 == 0)
            second = tf.concat([[False], first[:-1]], 0)
            ids = tf.where(first, tf.gather(self._merged, tf.where(first, rank, 0)), ids)
            changed = tf.where(second, -1, ids)
            merged = tf.tensor_scatter_nd_update(merged, place[:, tf.newaxis], changed)
            # Units in which no pair can be merged are done.
            going_on = ~second & (best < _NEVER)
            return (*(tf.boolean_mask(x, going_on) for x in (place, ids, unit)), merged)

        state = (tf.range(tf.size(symbols)), symbols, unit, symbols)
        one = tf.TensorShape([None])
        return tf.while_loop(unfinished, step, state, shape_invariants=(one,) * 4)[-1]


def train(texts: Iterable[str], size: int, *, max_characters: float) -> BytePairTokenizer:
    """Trains a tokenizer: 256 bytes, the merges of the most frequent pairs, and the end token.

    Args:
        texts: Texts of the training split.
        size: Maximum size of the vocabulary, at least 257.
        max_characters: Number of characters after which no more texts are read.
    """

    def read() -> Iterable[str]:
        characters = 0
        for text in texts:
            yield text
            characters += len(text)
            if characters > max_characters:
                break

    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        min_frequency=2,
        initial_alphabet=[*byte_characters()],
        show_progress=False,
    )
    model.train_from_iterator(read(), trainer)
    merges = [tuple(pair) for pair in json.loads(model.to_str())["model"]["merges"]]
    # Two merges may make the same token.
    tokens = dict.fromkeys([*byte_characters(), *map("".join, merges), END])
    return BytePairTokenizer([*tokens], merges, end=len(tokens) - 1)


def _text(token: bytes) -> str:
    try:
        return token.decode()
    except UnicodeDecodeError:
        return ""


@cache
def _classes() -> np.ndarray:
    """Returns the class of each code point, int8 [code points]."""
    kinds = {"L": _LETTER, "N": _NUMBER}
    classes = [kinds.get(unicodedata.category(chr(c))[0], _OTHER) for c in range(_CODE_POINTS)]
    for character in _WHITE_SPACE:
        classes[ord(character)] = _SPACE
    return np.array(classes, np.int8)


def _unit_starts(texts: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Returns 1 at the first byte of each unit, int32 [bytes of all texts].

    Args:
        texts: string [batch].
        sizes: int32 [batch], their bytes.
    """
    points, offsets = tf.strings.unicode_decode_with_offsets(texts, "UTF-8")
    row = tf.cast(points.value_rowids(), tf.int32)
    point = points.flat_values
    place = tf.cast(offsets.flat_values, tf.int32) + tf.gather(
        tf.cumsum(sizes, exclusive=True), row
    )
    known = tf.where(point < _CODE_POINTS, point, 0)
    kind = tf.cast(tf.gather(tf.constant(_classes()), known), tf.int32)
    kind = tf.where(point < _CODE_POINTS, kind, _OTHER)

    def shifted(values: tf.Tensor, by: int, fill: int) -> tf.Tensor:
        """Returns what stands `by` characters later in the same text, or `fill`."""
        padding = [[-by, 0]] if by < 0 else [[0, by]]
        moved, rows = (
            tf.pad(x, padding, constant_values=-1)[by if by > 0 else 0 :][: tf.size(x)]
            for x in (values, row)
        )
        return tf.where(rows == row, moved, fill)

    space = kind == _SPACE
    before, after = shifted(kind, -1, -1), shifted(kind, 1, -1)
    # A space before other characters is theirs; the last of other white space stands alone.
    last = space & (after != _SPACE) & (after >= 0)
    attached = shifted(point, -1, -1) == ord(" ")
    starts = tf.where(space, (before != _SPACE) | last, (before != kind) & ~attached)
    apostrophe = starts & (point == ord("'"))
    following = [shifted(point, by, -1) for by in (1, 2)]
    for letters in _CONTRACTIONS:
        found = apostrophe
        for letter, points_after in zip(letters, following, strict=False):
            found &= points_after == ord(letter)
        ends = tf.cast(found, tf.int32)
        own = shifted(ends, -1, 0) > 0
        rest = shifted(ends, -1 - len(letters), 0) > 0
        starts = (starts & ~own) | rest
    return tf.scatter_nd(place[:, tf.newaxis], tf.cast(starts, tf.int32), [tf.reduce_sum(sizes)])
