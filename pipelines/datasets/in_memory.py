"""Examples as arrays in memory, of which batches are gathered by the numbers of their examples."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

_CHUNK = 256


class Gathered(Protocol):
    """Examples in memory, as they are or as what they are made of."""

    @property
    def lengths(self) -> np.ndarray | None:
        """The longest first dimension of each example, int64; None if no length varies."""

    def batch(self, numbers: tf.Tensor) -> Any:
        """Returns the examples of some numbers, int64 [batch], as batches padded with zeros."""


@dataclass(frozen=True)
class Part:
    """One part of all examples.

    Attributes:
        values: [examples, …], or [steps of all examples, …] where they vary in length.
        splits: Where each example begins in `values`, and the last one ends, int64 [examples + 1];
            None where all have one shape.
    """

    values: tf.Tensor
    splits: tf.Tensor | None = None

    def gather(self, numbers: tf.Tensor) -> tf.Tensor:
        """Returns a batch, padded with zeros to its longest example."""
        if self.splits is None:
            return tf.gather(self.values, numbers)
        starts, ends = (tf.gather(self.splits, x)[:, tf.newaxis] for x in (numbers, numbers + 1))
        steps = tf.range(tf.reduce_max(ends - starts), dtype=starts.dtype)
        real = steps < ends - starts
        places = tf.where(real, starts + steps, 0)
        found = tf.gather(self.values, places)
        for _ in range(found.shape.rank - 2):
            real = real[..., tf.newaxis]
        return tf.where(real, found, tf.zeros((), found.dtype))

    def one(self, number: tf.Tensor) -> tf.Tensor:
        """Returns one example, not padded."""
        if self.splits is None:
            return self.values[number]
        return self.values[self.splits[number] : self.splits[number + 1]]


@dataclass(frozen=True)
class InMemory:
    """All examples of a data set.

    Attributes:
        parts: Tensors of the examples, one after the other.
        structure: What they are parts of: inputs, target and maybe weight.
    """

    parts: Sequence[Part]
    structure: Any

    @property
    def lengths(self) -> np.ndarray | None:
        """The longest first dimension of each example, int64; None if no length varies."""
        found = [np.diff(part.splits) for part in self.parts if part.splits is not None]
        return functools.reduce(np.maximum, found) if found else None

    def batch(self, numbers: tf.Tensor) -> Any:
        """Returns the examples of some numbers, int64 [batch], as batches padded with zeros."""
        batches = [part.gather(numbers) for part in self.parts]
        return tf.nest.pack_sequence_as(self.structure, batches)

    def one(self, number: tf.Tensor) -> Any:
        """Returns the example of a number, int64 []."""
        return tf.nest.pack_sequence_as(self.structure, [part.one(number) for part in self.parts])


def of(inputs: Mapping[str, tf.RaggedTensor], *targets: Any) -> InMemory:
    """Returns examples of ragged inputs and their targets, which are not copied."""
    structure = (dict(inputs), *targets)
    flat = tf.nest.flatten(structure, expand_composites=False)
    return InMemory([part(column) for column in flat], structure)


def part(column: Any) -> Part:
    """Returns a part of all examples: an array, [examples, …], or a ragged tensor."""
    if isinstance(column, tf.RaggedTensor):
        return Part(column.flat_values, column.row_splits)
    return Part(tf.convert_to_tensor(column))


def examples(gathered: Gathered, size: int) -> tf.data.Dataset:
    """Returns as many examples of fixed shapes, unbatched, in the order of their numbers."""
    return tf.data.Dataset.range(size).batch(_CHUNK).map(gathered.batch).unbatch()
