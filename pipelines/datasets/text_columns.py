"""Columns of a table: texts are packed in an array, so that each takes little more than its bytes.

A list of strings takes 60 bytes more for each, and its rows as they are read several times that.
Columns of many texts are in a file, see `stored`.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np

from pipelines.datasets import stored
from pipelines.datasets.stored import Stored

# Values of rows: texts as an array of this type, or many of them as `Texts`, or a list where some
# are none, or lists.
TEXT = np.dtypes.StringDType()
Column = Sequence[Any] | np.ndarray
Numbers = array

_CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class Texts(Sequence[str]):
    """Texts in a file. A number takes one of them; a slice, or an array of numbers, an array.

    Attributes:
        content: The bytes of all texts in UTF-8, uint8.
        splits: Where each text begins in `content`, and the last one ends, int64 [texts + 1].
        rows: The numbers of the texts that there are, int64; None for all, in their order.
    """

    content: np.ndarray
    splits: np.ndarray
    rows: np.ndarray | None = None

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
        return np.array([str(content[start:end], "utf-8") for start, end in ends], TEXT)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK].tolist()

    def tolist(self) -> list[str]:
        """Returns all texts in memory."""
        return list(self)

    def take(self, rows: np.ndarray) -> Texts:
        """Returns some of the texts, which are not copied."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])


def _numbers(texts: Texts, key: np.ndarray) -> np.ndarray:
    """Returns the numbers from 0 on that an index of NumPy's means, int64."""
    key = np.asarray(key)
    return np.flatnonzero(key) if key.dtype == bool else np.where(key < 0, key + len(texts), key)


# A column that has a text in each row.
PackedTexts = Texts | np.ndarray


class Builder:
    """A column to which values are appended, as they are read."""

    def __init__(self) -> None:
        self._parts: list[Column] = []
        self._size = 0
        self._content = Stored(np.uint8)
        self._splits = Stored(np.int64)

    def append(self, values: Column) -> None:
        """Appends values of rows.

        Raises:
            UserError: The disk is full.
        """
        part = packed(values)
        if len(self._splits) and not is_text(part):
            self._parts, self._splits = [list(self.column())], Stored(np.int64)
        self._parts.append(part)
        if len(self._splits):
            self._write()
        elif is_text(part):
            self._size += 16 * len(part) + int(np.strings.str_len(part).sum())
            if self._size > stored.LIMIT and all(map(is_text, self._parts)):
                self._splits.append(np.zeros(1))
                self._write()

    def column(self) -> Column:
        """Returns the column."""
        if len(self._splits):
            return Texts(self._content.column(), self._splits.column())
        return packed(joined(self._parts))

    def _write(self) -> None:
        for part in self._parts:
            encoded = [text.encode() for text in part]
            ends = len(self._content) + np.cumsum([len(text) for text in encoded], dtype=np.int64)
            self._splits.append(ends)
            self._content.append(np.frombuffer(b"".join(encoded), np.uint8))
        self._parts = []


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


def is_text(column: Column) -> bool:
    """Returns whether a column is known to have a text in each row."""
    return isinstance(column, Texts) or (isinstance(column, np.ndarray) and column.dtype == TEXT)


def joined(parts: Sequence[Column]) -> Column:
    """Returns columns as one, the rows of the first before those of the second."""
    if any(isinstance(part, Texts) for part in parts):
        return column_of(chain.from_iterable(parts))
    if parts and all(map(is_text, parts)):
        return np.concatenate(parts)
    return list(chain.from_iterable(parts))


def taken(column: Column, rows: Sequence[int] | np.ndarray) -> Column:
    """Returns some rows of a column."""
    if isinstance(column, Texts):
        return column.take(np.asarray(rows, np.int64))
    if isinstance(column, np.ndarray):
        return column[np.asarray(rows, np.int64)]
    return [column[row] for row in rows]


def digests(texts: Iterable[str]) -> np.ndarray:
    """Returns 64 bits of a digest of each text, int64 [texts], which few texts share by chance."""
    found = Numbers("q")
    for text in texts:
        digest = hashlib.sha256(text.encode()).digest()
        found.append(int.from_bytes(digest[:8], "little", signed=True))
    return np.frombuffer(found, np.int64)


def as_json(column: Column) -> Iterator[str]:
    """Yields the JSON of a column in parts; what JSON cannot hold is written as its `repr`."""
    yield "["
    for start in range(0, len(column), _CHUNK):
        part = json.dumps(list(column[start : start + _CHUNK]), default=repr)
        yield ", " * (start > 0) + part[1:-1]
    yield "]"
