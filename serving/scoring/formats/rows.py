"""What every format has: columns, shards (a file and a range of its rows), and chunks of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

# Rows at the beginning of a file from which formats without types learn theirs, and their bytes.
SAMPLE = 1000
_SAMPLE_BYTES = 1 << 20
# Texts longer than this are not copied beside the outputs unless they are asked for.
_SMALL_TEXT = 256

Content = TypeVar("Content", bound=Sized)


@dataclass(frozen=True)
class Column:
    """A column of the input.

    Attributes:
        name: Its name.
        kind: "text", "bytes", "integer", "float", "boolean", "image", "record" (a serialized
            tf.Example), or "other", which no signature takes.
        depth: How deep its values are nested in lists.
        type: Arrow's type of its values beside the outputs; None if they cannot stand there.
        small: Whether they stand there by default.
        parsed: Whether its values are texts, whatever they look like, as those of CSV.
    """

    name: str
    kind: str
    depth: int = 0
    type: pa.DataType | None = None
    small: bool = False
    parsed: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({'list of ' * self.depth}{self.kind})"


@dataclass(frozen=True)
class Shard:
    """Rows of an input file that become one part of the output.

    Attributes:
        number: Number of the part.
        path: The file, or the folder of images.
        start: The first row, counted from 0.
        stop: The row after the last one.
        offset: Where the first row begins, in bytes, where rows have no index.
        images: The files of a folder of images, one for each row.
    """

    number: int
    path: str
    start: int
    stop: int
    offset: int = 0
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chunk:
    """A few rows of a shard.

    Attributes:
        start: The first row, counted from 0 in the shard's file.
        size: Number of rows.
        columns: Values by column; those of rows with faults mean nothing.
        faults: Why a row cannot be read, by its place in the chunk.
    """

    start: int
    size: int
    columns: Mapping[str, pa.Array | Sequence[Any]]
    faults: Mapping[int, str] = field(default_factory=dict)


def beginning(rows: Iterable[Content]) -> Iterator[Content]:
    """Yields the first rows of a file, at least one."""
    left = _SAMPLE_BYTES
    for row in islice(rows, SAMPLE):
        yield row
        left -= len(row)
        if left < 0:
            return


def chunk_of(
    start: int, rows: Sequence[Mapping[str, Any] | str], wanted: Iterable[Column]
) -> Chunk:
    """Returns a chunk of rows that are mappings, or a text about what is wrong with them."""
    faults = {place: row for place, row in enumerate(rows) if isinstance(row, str)}
    columns = {
        column.name: [None if isinstance(row, str) else row.get(column.name) for row in rows]
        for column in wanted
    }
    return Chunk(start, len(rows), columns, faults)


def sampled(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Returns the columns of rows whose values have types of their own, as those of JSON."""
    return [_sampled(name, [row.get(name) for row in rows]) for name in names]


def _sampled(name: str, values: Sequence[Any]) -> Column:
    there = [value for value in values if value is not None]
    # What most values are: the others' rows will be rejected.
    found = Counter((_depth(value), _kind(value)) for value in there)
    (depth, kind), _ = found.most_common(1)[0] if found else ((0, "other"), 0)
    for narrow, wide in (("integer", "float"), ("text", "bytes")):
        if kind == narrow and found[depth, wide]:
            kind = wide
    kept = {"text": pa.string(), "integer": pa.int64(), "float": pa.float64()}
    kept |= {"boolean": pa.bool_(), "bytes": pa.binary(), "other": pa.string()}
    value_type = kept[kind]
    for _ in range(depth):
        value_type = pa.list_(value_type)
    small = depth == 0 and (
        kind in ("integer", "float", "boolean") or (kind == "text" and small_texts(there))
    )
    return Column(name, kind, depth, value_type, small)


def small_texts(texts: Iterable[str]) -> bool:
    """Whether texts are short enough to stand beside the outputs by default."""
    return max(map(len, texts), default=0) <= _SMALL_TEXT


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _kind(value: Any) -> str:
    while isinstance(value, list):
        if not value:
            return "float"
        kinds = {_kind(each) for each in value}
        if kinds == {"integer", "float"}:
            return "float"
        return kinds.pop() if len(kinds) == 1 else "other"
    for kind, types in (("boolean", bool), ("integer", int), ("float", float), ("text", str)):
        if isinstance(value, types):
            return kind
    return "bytes" if isinstance(value, bytes) else "other"
