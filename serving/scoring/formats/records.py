"""TFRecords of tf.Example: the features are columns, and `record` is the example itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from serving.errors import UserError
from serving.protocol import messages, tfrecord
from serving.scoring.formats.rows import Chunk, Column, Shard, beginning, chunk_of, sampled

RECORD = "record"
_DAMAGED = "the record's checksum does not match"
_NO_EXAMPLE = "the record is no tf.Example"


def columns(path: str) -> list[Column]:
    """Returns the columns of the first records of a file.

    Raises:
        UserError: It cannot be read, or holds no examples.
    """
    contents = list(beginning(content for content, _ in _records(path, 0)))
    good = [features for features in map(_features, contents) if features is not None]
    if contents and not good:
        raise UserError(f"{path} holds no tf.Examples")
    names = sorted({name for features in good for name in features})
    longer = {name for row in good for name, values in row.items() if len(values) != 1}
    rows = [{name: _plain(values, name in longer) for name, values in row.items()} for row in good]
    return [*sampled(names, rows), Column(RECORD, "record")]


def shards(path: str, rows: int) -> Iterator[tuple[int, int, int]]:
    """Yields start, stop and offset of shards of `rows` rows; reads the headers of all records.

    Raises:
        UserError: The file is truncated or damaged.
    """
    start = stop = begin = 0
    try:
        for end in tfrecord.ends(Path(path)):
            stop += 1
            if stop - start == rows:
                yield start, stop, begin
                start, begin = stop, end
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
    if stop > start:
        yield start, stop, begin


def read(shard: Shard, wanted: Sequence[Column], size: int) -> Iterator[Chunk]:
    """Yields the rows of a shard, at most `size` at a time."""
    lists = {column.name for column in wanted if column.depth}
    records = islice(_records(shard.path, shard.offset, size), shard.stop - shard.start)
    place = shard.start
    while found := [_row(content, intact, lists) for content, intact in islice(records, size)]:
        yield chunk_of(place, found, wanted)
        place += len(found)


def _records(path: str, offset: int, size: int = 16) -> Iterator[tuple[bytes, bool]]:
    try:
        yield from tfrecord.read_from(Path(path), offset, size)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _row(content: bytes, intact: bool, lists: set[str]) -> dict[str, Any] | str:
    if not intact:
        return _DAMAGED
    features = _features(content)
    if features is None:
        return _NO_EXAMPLE
    row = {name: _plain(values, name in lists) for name, values in features.items()}
    return row | {RECORD: content}


def _features(content: bytes) -> dict[str, list[Any]] | None:
    """Returns the values of each feature; None if the record is no example."""
    try:
        example = messages.Example.FromString(content)
    except DecodeError:
        return None
    found: dict[str, list[Any]] = {}
    for name, feature in example.features.feature.items():
        lists = (feature.bytes_list, feature.int64_list, feature.float_list)
        found[name] = list(next((each.value for each in lists if each.value), ()))
    return {name: [_text(value) for value in values] for name, values in found.items()}


def _plain(values: list[Any], as_list: bool) -> Any:
    """Returns a list, or the only value of a feature that always has one; None for none."""
    return values if as_list or len(values) > 1 else next(iter(values), None)


def _text(value: Any) -> Any:
    """Returns bytes as a text where they are one."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
