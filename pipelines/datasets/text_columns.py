"""Columns of a table: texts are packed in an array, so that each takes little more than its bytes.

A list of strings takes 60 bytes more for each, and its rows as they are read several times that.
Columns of many texts, or of many other values, are in a file, see `stored`.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Self

import numpy as np

from pipelines.datasets import stored
from pipelines.datasets.stored import Stored

# Values of rows: texts as an array of this type, or many of them as `Texts`; others, as lists or
# where some are none, as a list, or many of them as `Values`.
TEXT = np.dtypes.StringDType()
Column = Sequence[Any] | np.ndarray
Numbers = array

_CHUNK = 1 << 12


@dataclass(frozen=True, eq=False)
class Rows(Sequence[Any]):
    """Rows in a file. A number takes one of them; a slice, or an array of numbers, an array.

    Attributes:
        content: The bytes of all rows, uint8.
        splits: Where each row begins in `content`, and the last one ends, int64 [rows + 1].
        rows: The numbers of the rows that there are, int64; None for all, in their order.
    """

    content: np.ndarray
    splits: np.ndarray
    rows: np.ndarray | None = None

    @staticmethod
    @abstractmethod
    def encode(value: Any) -> bytes:
        """Returns a row as bytes."""

    @staticmethod
    @abstractmethod
    def decode(parts: Sequence[memoryview]) -> np.ndarray:
        """Returns an array of rows by the bytes of each."""

    def __len__(self) -> int:
        return len(self.splits) - 1 if self.rows is None else len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer):
            return self[np.array([key])][0]
        is_slice = isinstance(key, slice)
        if self.rows is None:
            rows = np.arange(*key.indices(len(self))) if is_slice else _numbers(self, key)
        else:
            rows = self.rows[key]
        content = memoryview(self.content.data)
        ends = zip(self.splits[rows].tolist(), self.splits[rows + 1].tolist(), strict=True)
        return self.decode([content[start:end] for start, end in ends])

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK].tolist()

    def tolist(self) -> list[Any]:
        """Returns all rows in memory."""
        return list(self)

    def take(self, rows: np.ndarray) -> Self:
        """Returns some of the rows, which are not copied."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])


class Texts(Rows):
    """Texts in a file, in UTF-8."""

    @staticmethod
    def encode(value: str) -> bytes:
        return value.encode()

    @staticmethod
    def decode(parts: Sequence[memoryview]) -> np.ndarray:
        return np.array([str(part, "utf-8") for part in parts], TEXT)


class Values(Rows):
    """Values of any kind in a file, as texts that may be missing, or lists of texts."""

    @staticmethod
    def encode(value: Any) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def decode(parts: Sequence[memoryview]) -> np.ndarray:
        return np.fromiter(map(pickle.loads, parts), object, len(parts))


def _numbers(rows: Rows, key: np.ndarray) -> np.ndarray:
    """Returns the numbers from 0 on that an index of NumPy's means, int64."""
    key = np.asarray(key)
    return np.flatnonzero(key) if key.dtype == bool else np.where(key < 0, key + len(rows), key)


# A column that has a text in each row.
PackedTexts = Texts | np.ndarray
# A column of other values whose rows an array of numbers takes.
PackedValues = Values | np.ndarray


class _File:
    """Rows that are written to a file."""

    def __init__(self, kind: type[Rows]) -> None:
        self.kind = kind
        self._content, self._splits = Stored(np.uint8), Stored(np.int64)
        self._splits.append(np.zeros(1))

    def append(self, values: Column) -> None:
        encoded = [self.kind.encode(value) for value in values]
        ends = len(self._content) + np.cumsum([len(row) for row in encoded], dtype=np.int64)
        self._splits.append(ends)
        self._content.append(np.frombuffer(b"".join(encoded), np.uint8))

    def column(self) -> Rows:
        return self.kind(self._content.column(), self._splits.column())


class Builder:
    """A column to which values are appended, as they are read."""

    def __init__(self) -> None:
        self._parts: list[Column] = []
        self._size = 0
        self._file: _File | None = None

    def append(self, values: Column) -> None:
        """Appends values of rows.

        Raises:
            UserError: The disk is full.
        """
        part = packed(values)
        if not self._file:
            self._parts.append(part)
            self._size += _size(part)
            if self._size > stored.LIMIT:
                self._write(Texts if all(map(is_text, self._parts)) else Values, self._parts)
                self._parts = []
        elif self._file.kind is Texts and not is_text(part):
            self._write(Values, [*_chunks(self._file.column()), part])
        else:
            self._file.append(part)

    def column(self) -> Column:
        """Returns the column."""
        if self._file:
            return self._file.column()
        if all(map(is_text, self._parts)):
            return np.concatenate([np.empty(0, TEXT), *self._parts])
        return list(chain.from_iterable(self._parts))

    def _write(self, kind: type[Rows], parts: Iterable[Column]) -> None:
        self._file = _File(kind)
        for part in parts:
            self._file.append(part)


def _size(part: Column) -> int:
    """Returns about how many bytes values take."""
    if is_text(part):
        return 16 * len(part) + int(np.strings.str_len(part).sum())
    return len(pickle.dumps(list(part), pickle.HIGHEST_PROTOCOL))


def _chunks(column: Column) -> Iterator[Column]:
    """Yields the rows of a column, many at a time."""
    for start in range(0, len(column), _CHUNK):
        yield column[start : start + _CHUNK]


def column_of(values: Iterable[Any]) -> Column:
    """Returns values, which are read a part at a time, as a column."""
    builder, rest = Builder(), iter(values)
    while chunk := list(islice(rest, _CHUNK)):
        builder.append(chunk)
    return builder.column()


def columns_of(rows: Iterable[Mapping[Any, Any]]) -> dict[Any, Column]:
    """Returns the columns of rows, which are read a part at a time; None where a row has no value.

    Args:
        rows: The values of each by column.
    """
    builders: dict[Any, Builder] = {}
    size, rest = 0, iter(rows)
    while chunk := list(islice(rest, _CHUNK)):
        for name in dict.fromkeys(name for row in chunk for name in row):
            if name not in builders:
                builders[name] = Builder()
                builders[name].append([None] * size)
        for name, builder in builders.items():
            builder.append([row.get(name) for row in chunk])
        size += len(chunk)
    return {name: builder.column() for name, builder in builders.items()}


def packed(values: Column) -> Column:
    """Returns values as a column."""
    if is_text(values) or not all(isinstance(value, str) for value in values):
        return values
    return np.array(values, TEXT)


def texts_of(column: Column) -> PackedTexts:
    """Returns a column that has a text in each row as what it is, packed."""
    return column if isinstance(column, Texts) else np.asarray(column)


def values_of(column: Column) -> PackedValues:
    """Returns a column of values of any kind as what it is in a file, or as an object array."""
    return column if isinstance(column, Values) else np.fromiter(column, object, len(column))


def is_text(column: Column) -> bool:
    """Returns whether a column is known to have a text in each row."""
    return isinstance(column, Texts) or (isinstance(column, np.ndarray) and column.dtype == TEXT)


def joined(parts: Sequence[Column]) -> Column:
    """Returns columns as one, the rows of the first before those of the second."""
    builder = Builder()
    for part in parts:
        for chunk in _chunks(part):
            builder.append(chunk)
    return builder.column()


def taken(column: Column, rows: Sequence[int] | np.ndarray) -> Column:
    """Returns some rows of a column."""
    if isinstance(column, Rows):
        return column.take(np.asarray(rows, np.int64))
    if isinstance(column, np.ndarray):
        return column[np.asarray(rows, np.int64)]
    return [column[row] for row in rows]


def digests(texts: Iterable[str | bytes]) -> np.ndarray:
    """Returns 64 bits of a digest of each text, int64 [texts], which few texts share by chance."""
    found = Numbers("q")
    for text in texts:
        digest = hashlib.sha256(text.encode() if isinstance(text, str) else text).digest()
        found.append(int.from_bytes(digest[:8], "little", signed=True))
    return np.frombuffer(found, np.int64)


def as_json(column: Column) -> Iterator[str]:
    """Yields the JSON of a column in parts; what JSON cannot hold is written as its `repr`."""
    yield "["
    for number, chunk in enumerate(_chunks(column)):
        part = json.dumps(list(chunk), default=repr)
        yield ", " * (number > 0) + part[1:-1]
    yield "]"
