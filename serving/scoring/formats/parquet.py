"""Parquet files: the shards are row groups, or pieces of large ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from serving.errors import UserError
from serving.scoring.formats.rows import SAMPLE, Chunk, Column, Shard, small_texts

# A row group is read from its beginning for each of its pieces.
_PIECES = 16


def columns(path: str) -> list[Column]:
    """Returns the columns of a file.

    Raises:
        UserError: It cannot be read.
    """
    with _opened(path) as file:
        texts = [field.name for field in file.schema_arrow if _is_text(field.type)]
        try:
            first = next(file.iter_batches(SAMPLE, columns=texts), None) if texts else None
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path} is damaged: {error}") from error
        small = {
            name: first is None or small_texts(filter(None, first.column(name).to_pylist()))
            for name in texts
        }
        return [_column(field, small.get(field.name, True)) for field in file.schema_arrow]


def shards(path: str, rows: int) -> Iterator[tuple[int, int, int]]:
    """Yields start, stop and offset of shards of about `rows` rows."""
    with _opened(path) as file:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    start = stop = 0
    for size in groups:
        if stop > start and stop - start + size > rows:
            yield start, stop, 0
            start = stop
        stop += size
        if size > rows:
            piece = max(rows, -(-size // _PIECES))
            while stop - start > piece:
                yield start, start + piece, 0
                start += piece
    if stop > start:
        yield start, stop, 0


def read(shard: Shard, wanted: Sequence[Column], size: int) -> Iterator[Chunk]:
    """Yields the rows of a shard, at most `size` at a time."""
    names = [column.name for column in wanted]
    with _opened(shard.path) as file:
        groups: list[int] = []
        first = end = 0
        for index in range(file.num_row_groups):
            begin, end = end, end + file.metadata.row_group(index).num_rows
            if begin < shard.stop and end > shard.start:
                first = first if groups else begin
                groups.append(index)
        place = first
        # Other processes use the other processors.
        batches = file.iter_batches(size, row_groups=groups, columns=names, use_threads=False)
        try:
            for batch in batches:
                begin, end = max(place, shard.start), min(place + len(batch), shard.stop)
                if begin < end:
                    part = batch.slice(begin - place, end - begin)
                    found = {name: _values(part.column(name)) for name in names}
                    yield Chunk(begin, end - begin, found)
                place += len(batch)
                if place >= shard.stop:
                    return
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{shard.path} is damaged near row {place}: {error}") from error


def _opened(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error


def _values(array: pa.Array) -> pa.Array:
    """Returns the values of a column; those of an image as data sets store it are its bytes."""
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    return pc.struct_field(array, "bytes") if _is_image(array.type) else array


def _column(field: pa.Field, small: bool) -> Column:
    inner, depth = field.type, 0
    if pa.types.is_dictionary(inner):
        inner = inner.value_type
    kept = inner
    while pa.types.is_list(inner) or pa.types.is_large_list(inner) or _is_fixed(inner):
        inner, depth = inner.value_type, depth + 1
    if _is_image(inner) and depth == 0:
        return Column(field.name, "bytes", 0, pa.binary())
    kind = _kind(inner)
    plain = depth == 0 and kind != "bytes" and not pa.types.is_nested(kept)
    return Column(field.name, kind, depth, kept, small and plain)


def _kind(inner: pa.DataType) -> str:
    of = pa.types
    if _is_text(inner):
        return "text"
    if of.is_binary(inner) or of.is_large_binary(inner) or of.is_fixed_size_binary(inner):
        return "bytes"
    if of.is_boolean(inner):
        return "boolean"
    if of.is_integer(inner):
        return "integer"
    return "float" if of.is_floating(inner) else "other"


def _is_text(inner: pa.DataType) -> bool:
    if pa.types.is_dictionary(inner):
        inner = inner.value_type
    return pa.types.is_string(inner) or pa.types.is_large_string(inner)


def _is_fixed(inner: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(inner)


def _is_image(inner: pa.DataType) -> bool:
    """Whether values are {bytes, path}, as libraries of data sets store images."""
    return pa.types.is_struct(inner) and any(
        inner.field(i).name == "bytes" and _kind(inner.field(i).type) == "bytes"
        for i in range(inner.num_fields)
    )
