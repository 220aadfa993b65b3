"""JSON lines: an object on each line; blank lines do not count."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

from serving.errors import UserError
from serving.query.json_lines import decoded
from serving.scoring.formats.rows import Chunk, Column, Shard, beginning, chunk_of, sampled


def columns(path: str) -> list[Column]:
    """Returns the columns of the first rows of a file.

    Raises:
        UserError: It cannot be read, or no row has columns.
    """
    with _opened(path) as file:
        rows = [_row(line) for line in beginning(_lines(file))]
    good = [row for row in rows if not isinstance(row, str)]
    if rows and not good:
        raise UserError(f"{path} has no objects as JSON lines: its first row {rows[0]}")
    return sampled(list(dict.fromkeys(name for row in good for name in row)), good)


def shards(path: str, rows: int) -> Iterator[tuple[int, int, int]]:
    """Yields start, stop and offset of shards of `rows` rows; reads the whole file."""
    with _opened(path) as file:
        start = stop = begin = end = 0
        for line in file:
            end += len(line)
            stop += not line.isspace()
            if stop - start == rows:
                yield start, stop, begin
                start, begin = stop, end
        if stop > start:
            yield start, stop, begin


def read(shard: Shard, wanted: Sequence[Column], size: int) -> Iterator[Chunk]:
    """Yields the rows of a shard, at most `size` at a time."""
    with _opened(shard.path) as file:
        file.seek(shard.offset)
        lines = islice(_lines(file), shard.stop - shard.start)
        place = shard.start
        while found := [_row(line) for line in islice(lines, size)]:
            yield chunk_of(place, found, wanted)
            place += len(found)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    return (line for line in file if not line.isspace())


def _row(line: bytes) -> dict[str, Any] | str:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            return f"is no object: {line[:60].decode(errors='replace').strip()}"
        return {name: _decoded(value) for name, value in row.items()}
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {error}"


def _decoded(value: Any) -> Any:
    """Returns a value with its bytes; lists of numbers, which may be long, are not searched."""
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [_decoded(each) for each in value]
    return decoded(value)


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
