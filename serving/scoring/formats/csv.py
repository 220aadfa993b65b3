"""CSV files in UTF-8 with a header; the delimiter is a comma, a semicolon or a tab.

Cells are texts: beside the outputs they stand as they are, and an empty one is a missing value.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa

from serving.errors import UserError
from serving.scoring.formats.rows import SAMPLE, Chunk, Column, Shard, chunk_of, small_texts

_MAX_CELL = 1 << 26
_BOM = b"\xef\xbb\xbf"


def columns(path: str) -> list[Column]:
    """Returns the columns of a file.

    Raises:
        UserError: It cannot be read, or its header has no name or one twice.
    """
    with _opened(path) as file:
        table = _Table(path, file)
        rows = [row for row, _ in islice(table.rows(), SAMPLE) if len(row) == len(table.header)]
    cells = [[row[place] for row in rows] for place in range(len(table.header))]
    return [
        Column(name, _kind(each), 0, pa.string(), small_texts(each), parsed=True)
        for name, each in zip(table.header, cells, strict=True)
    ]


def shards(path: str, rows: int) -> Iterator[tuple[int, int, int]]:
    """Yields start, stop and offset of shards of `rows` rows; reads the whole file."""
    with _opened(path) as file:
        table = _Table(path, file)
        start = stop = 0
        begin = end = table.position
        for _, end in table.rows():
            stop += 1
            if stop - start == rows:
                yield start, stop, begin
                start, begin = stop, end
        if stop > start:
            yield start, stop, begin


def read(shard: Shard, wanted: Sequence[Column], size: int) -> Iterator[Chunk]:
    """Yields the rows of a shard, at most `size` at a time."""
    with _opened(shard.path) as file:
        table = _Table(shard.path, file)
        file.seek(shard.offset)
        rows = islice(table.rows(), shard.stop - shard.start)
        place = shard.start
        while found := [_row(table.header, cells) for cells, _ in islice(rows, size)]:
            yield chunk_of(place, found, wanted)
            place += len(found)


class _Table:
    """The rows of an open file, after its header, with the position after each."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.position = 0
        if file.read(len(_BOM)) == _BOM:
            self.position = len(_BOM)
        file.seek(self.position)
        first = file.readline().decode("utf-8", "surrogateescape")
        file.seek(self.position)
        self._delimiter = max(",;\t", key=first.count)
        self.header: list[str] = next((row for row, _ in self.rows()), [])
        names = set(self.header)
        if not all(names) or not names or len(names) < len(self.header):
            raise UserError(
                f"{path} needs a first line with a different name for each column, not "
                f"{first.strip()[:80]!r}"
            )

    def rows(self) -> Iterator[tuple[list[str], int]]:
        """Yields cells and the position after them, from where the file stands; no blank lines."""
        csv.field_size_limit(_MAX_CELL)
        try:
            for row in csv.reader(self._lines(), delimiter=self._delimiter):
                if row:
                    yield row, self.position
        except csv.Error as error:
            raise UserError(
                f"{self._path} is no CSV before byte {self.position}: {error}"
            ) from error

    def _lines(self) -> Iterator[str]:
        self.position = self._file.tell()
        for line in self._file:
            self.position += len(line)
            yield line.decode("utf-8", "surrogateescape")


def _kind(cells: Sequence[str]) -> str:
    """Returns what the cells of a column that are not empty look like."""
    there = [cell for cell in cells if cell]
    if not there:
        return "text"
    for kind, number in (("integer", int), ("float", float)):
        with contextlib.suppress(ValueError):
            for cell in there:
                number(cell)
            return kind
    return "text"


def _row(header: Sequence[str], cells: Sequence[str]) -> dict[str, Any] | str:
    if len(cells) != len(header):
        return f"the row has {len(cells)} cells, and the header {len(header)}"
    if not all(cell.isprintable() or _is_unicode(cell) for cell in cells):
        return "the row is not in UTF-8"
    return {name: cell or None for name, cell in zip(header, cells, strict=True)}


def _is_unicode(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
