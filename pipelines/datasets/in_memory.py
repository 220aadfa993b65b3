"""Examples as arrays in memory, of which batches are gathered by the numbers of their examples.

Large arrays are mapped files, see `stored`. A tensor takes their memory as it is, and so the same
operations gather from either.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pipelines.datasets.stored import Stored, is_mapped

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
    return Part(tensor(column))


def tensor(column: Any) -> tf.Tensor:
    """Returns a column, an array or a tensor, as a tensor; a mapped file is not read for it."""
    if isinstance(column, np.ndarray) and is_mapped(column):
        return tf.experimental.dlpack.from_dlpack(np.asarray(column).__dlpack__())
    return tf.convert_to_tensor(column)


class Column:
    """Tensors [rows, ...], or ragged ones [rows, steps, ...], one behind the other."""

    def __init__(self, like: Any) -> None:
        """Starts an empty column of tensors that are like the first of them."""
        ragged = isinstance(like, tf.RaggedTensor)
        values = like.flat_values if ragged else like
        self._values = Stored(values.dtype.as_numpy_dtype, tuple(values.shape[1:]))
        self._splits = Stored(np.int64) if ragged else None
        if self._splits is not None:
            self._splits.append(np.zeros(1))

    def append(self, part: Any) -> None:
        """Appends rows."""
        if self._splits is not None:
            self._splits.append(len(self._values) + part.row_splits.numpy()[1:])
            part = part.flat_values
        self._values.append(part.numpy())

    def column(self) -> Any:
        """Returns a tensor, or a ragged one; a large one is a mapped file."""
        values = tensor(self._values.column())
        if self._splits is None:
            return values
        splits = tensor(self._splits.column())
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def joined(chunks: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Returns tensors by name, ragged or not, that come in chunks of rows, as one each."""
    columns: dict[Any, Column] = {}
    for chunk in chunks:
        for name, part in chunk.items():
            columns.setdefault(name, Column(part)).append(part)
    return {name: column.column() for name, column in columns.items()}


def examples(gathered: Gathered, size: int) -> tf.data.Dataset:
    """Returns as many examples of fixed shapes, unbatched, in the order of their numbers."""
    return numbers(size).batch(_CHUNK).map(gathered.batch).unbatch()


def numbers(size: int) -> tf.data.Dataset:
    """Returns the numbers from 0 on, int64, from which arrays in memory are gathered."""
    return tf.data.Dataset.range(size).with_options(without_copies())


def without_copies() -> tf.data.Options:
    """Returns the options with which an iterator does not copy the arrays that it reads from.

    tf.data copies them where it rewrites a graph. What it rewrites here it would gain little by.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return options
