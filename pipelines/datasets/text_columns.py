"""Columns of a table: texts are packed in an array, so that each takes little more than its bytes.

A list of strings takes 60 bytes more for each, and its rows as they are read several times that.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

# Values of rows: texts as an array of this type, or a list where some are none, or lists.
TEXT = np.dtypes.StringDType()
Column = Sequence[Any] | np.ndarray
Numbers = array

_CHUNK = 1 << 14


def columns_of(rows: Iterable[Mapping[Any, Any]]) -> dict[Any, Column]:
    """Returns the columns of rows, which are read a part at a time; None where a row has no value.

    Args:
        rows: The values of each by column.
    """
    parts: dict[Any, list[Column]] = {}
    sizes: list[int] = []
    rest = iter(rows)
    while chunk := list(islice(rest, _CHUNK)):
        for name in dict.fromkeys(name for row in chunk for name in row):
            parts.setdefault(name, [[None] * size for size in sizes])
        for name, own in parts.items():
            own.append(packed([row.get(name) for row in chunk]))
        sizes.append(len(chunk))
    return {name: joined(own) for name, own in parts.items()}


def packed(values: Column) -> Column:
    """Returns values as a column."""
    if is_text(values) or not all(isinstance(value, str) for value in values):
        return values
    return np.array(values, TEXT)


def is_text(column: Column) -> bool:
    """Returns whether a column is known to have a text in each row."""
    return isinstance(column, np.ndarray) and column.dtype == TEXT


def joined(parts: Sequence[Column]) -> Column:
    """Returns columns as one, the rows of the first before those of the second."""
    if parts and all(map(is_text, parts)):
        return np.concatenate(parts)
    return list(chain.from_iterable(parts))


def taken(column: Column, rows: Sequence[int] | np.ndarray) -> Column:
    """Returns some rows of a column."""
    if isinstance(column, np.ndarray):
        return column[np.asarray(rows, np.int64)]
    return [column[row] for row in rows]


def as_json(column: Column) -> Iterator[str]:
    """Yields the JSON of a column in parts; what JSON cannot hold is written as its `repr`."""
    yield "["
    for start in range(0, len(column), _CHUNK):
        part = json.dumps(list(column[start : start + _CHUNK]), default=repr)
        yield ", " * (start > 0) + part[1:-1]
    yield "]"
