"""Windows of a stream of tokens: where they are, and examples that are cut as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import tensorflow as tf

from pipelines.datasets.in_memory import tensor
from pipelines.text.reversible import RUNNING_TEXT_IDS

# Windows that are cut at once.
_CHUNK = 1024
# Tokens that are looked at at once.
_TOKENS = 1 << 20


@dataclass(frozen=True)
class TokenStream:
    """The documents of a split, one after the other.

    Attributes:
        tokens: int32 [tokens], [END] first, last, and between documents.
        lengths: int32 [tokens], number of characters that each token stands for, 0 for [END].
        empty: Number of documents without tokens, which are left out.
        end: Id of [END].
    """

    tokens: np.ndarray
    lengths: np.ndarray
    empty: int = 0
    end: int = RUNNING_TEXT_IDS.end

    def documents(self, places: np.ndarray) -> np.ndarray:
        """Returns the index of the document at each place, int64; [END] belongs to what it ends."""
        return np.searchsorted(self._ends, places) - 1

    def counts(self, vocabulary: int) -> np.ndarray:
        """Returns how often each token of a vocabulary occurs, int64 [vocabulary]."""
        found = np.zeros(vocabulary, np.int64)
        for _, part in self._parts():
            found += np.bincount(part, minlength=vocabulary)
        return found

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where the documents end, int64 [documents + 1], the first of them before all."""
        return np.concatenate(
            [start + np.flatnonzero(part == self.end) for start, part in self._parts()]
        )

    def _parts(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the tokens, some at a time, each time with the place of the first one."""
        for start in range(0, len(self.tokens), _TOKENS):
            yield start, self.tokens[start : start + _TOKENS]


@dataclass(frozen=True)
class Windows:
    """Where the windows of a stream start, and which of their predictions count.

    Attributes:
        starts: int64 [windows].
        done: The first place whose prediction no earlier window has made, int64 [windows].
        predicted: Number of tokens of the stream to predict, which is one less than there are.
        context: Number of tokens that a network reads at once.
    """

    starts: np.ndarray
    done: np.ndarray
    predicted: int
    context: int

    @property
    def weights(self) -> np.ndarray:
        """Returns 0 where a prediction is padding or was made in an earlier window, else 1.

        float32 [windows, context].
        """
        places = self.starts[:, np.newaxis] + np.arange(self.context)
        counted = (places >= self.done[:, np.newaxis]) & (places < self.predicted)
        return counted.astype(np.float32)

    def cut(self, column: np.ndarray) -> np.ndarray:
        """Cuts a column [tokens] into windows [windows, context + 1], padded with zeros."""
        places = self.starts[:, np.newaxis] + np.arange(self.context + 1)
        last = len(column) - 1
        return np.where(places <= last, column[np.minimum(places, last)], column.dtype.type(0))

    def examples(self, stream: TokenStream) -> WindowExamples:
        """Returns the windows of a stream as examples."""
        tokens, starts, done = map(tensor, (stream.tokens, self.starts, self.done))
        return WindowExamples(tokens, starts, done, self.predicted, self.context)

    def parts(self) -> Iterator[Windows]:
        """Yields the windows, some at a time: all of them are many times the stream."""
        for first in range(0, len(self.starts), _CHUNK):
            yield self.take(slice(first, first + _CHUNK))

    def take(self, rows: np.ndarray | slice) -> Windows:
        """Returns some of the windows."""
        return replace(self, starts=self.starts[rows], done=self.done[rows])


@dataclass(frozen=True)
class WindowExamples:
    """Windows as examples, see `RunningText`, which are cut from the stream as they are needed.

    Attributes:
        tokens: The stream, int32 [tokens].
        starts: As in `Windows`, as are the others.
    """

    tokens: tf.Tensor
    starts: tf.Tensor
    done: tf.Tensor
    predicted: int
    context: int

    @property
    def lengths(self) -> None:
        """All are of one length."""

    def batch(self, numbers: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Returns the windows of some numbers, int64 [batch]."""
        starts, done = (tf.gather(x, numbers)[:, tf.newaxis] for x in (self.starts, self.done))
        places = starts + tf.range(self.context + 1, dtype=tf.int64)
        real = places <= self.predicted
        tokens = tf.where(real, tf.gather(self.tokens, tf.where(real, places, 0)), 0)
        before = places[:, :-1]
        weights = tf.cast((before >= done) & (before < self.predicted), tf.float32)
        inputs = {"token_ids": tokens, "padding_mask": tf.cast(real, tf.int32)}
        return inputs, tokens[:, 1:], weights


def windows(predicted: int, context: int, *, overlap: bool) -> Windows:
    """Returns blocks, or windows that overlap by half.

    Args:
        predicted: Number of tokens to predict, which is one less than there are.
        context: Number of tokens that a network reads at once.
        overlap: Whether windows overlap.
    """
    if overlap:
        stride = max(1, context // 2)
        starts = np.arange(0, max(1, predicted - context + stride), stride)
    else:
        starts = np.arange(0, predicted, context)
    return Windows(starts, np.concatenate([[0], starts[:-1] + context]), predicted, context)
