"""From a signature's answers to the columns of a part, and the files of a part."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from serving.client.calls import TensorInfo
from serving.protocol import tensors

# A row group is written when it has so many bytes.
_GROUP_BYTES = 16 << 20
_BYTES_SUFFIX = "_bytes"
_MISFITS = (pa.ArrowException, TypeError, ValueError)


def field(name: str, info: TensorInfo) -> pa.Field:
    """Returns the column of an output: a list in a list for each dimension of a row.

    A list alone holds what has no declared rank. Strings are text, except where the name ends in
    `_bytes`.
    """
    if info.dtype == "string":
        inner = pa.binary() if name.endswith(_BYTES_SUFFIX) else pa.string()
    else:
        inner = pa.from_numpy_dtype(_plain(np.empty(0, tensors.numpy_dtype(info.dtype))).dtype)
    for _ in range(_rank(info) + (info.dtype.startswith("complex"))):
        inner = pa.list_(inner)
    return pa.field(name, inner)


def column(array: np.ndarray, info: TensorInfo, kind: pa.DataType, rows: int) -> pa.Array:
    """Returns the values of `rows` rows; what a batch has in common is repeated.

    Raises:
        ValueError: The answer does not have a value for each row.
    """
    if info.shape is not None and (not info.shape or info.shape[0] is not None):
        array = np.broadcast_to(array, (rows, *array.shape))
    elif not array.ndim or len(array) != rows:
        raise ValueError(f"has the shape {array.shape} for {rows} rows")
    array = _plain(array)
    if info.shape is None:
        array = array.reshape(rows, -1)
    flat: Any = array.reshape(-1)
    inner = kind
    while pa.types.is_list(inner):
        inner = inner.value_type
    if array.dtype == object and pa.types.is_string(inner):
        flat = [text.decode(errors="backslashreplace") for text in flat]
    result = pa.array(flat, inner)
    for axis in range(array.ndim - 1, 0, -1):
        count, size = int(np.prod(array.shape[:axis])), array.shape[axis]
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * size)
        result = pa.ListArray.from_arrays(offsets, result)
    return result


def _rank(info: TensorInfo) -> int:
    """Returns the number of dimensions of a row."""
    if info.shape is None:
        return 1
    return len(info.shape) - (bool(info.shape) and info.shape[0] is None)


def _plain(array: np.ndarray) -> np.ndarray:
    """Returns an array in a dtype that Parquet has."""
    if array.dtype.names:  # Quantized.
        return array.view(array.dtype[0])
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], -1)
    return array.astype(np.float32) if array.dtype.kind == "V" else array


class Part:
    """A part that is being written.

    Attributes:
        rows: Rows written.
        rejected: Rows rejected.
    """

    def __init__(self, writer: pq.ParquetWriter, rejected: Any) -> None:
        self._writer, self._rejected = writer, rejected
        self._waiting: list[pa.Table] = []
        self._bytes = 0
        self.rows = self.rejected = 0

    def add(self, table: pa.Table) -> None:
        """Adds scored rows."""
        self._waiting.append(table)
        self.rows += len(table)
        self._bytes += table.nbytes
        if self._bytes >= _GROUP_BYTES:
            self.flush()

    def reject(self, file: str, row: int, reason: str) -> None:
        """Adds a row that cannot be scored."""
        line = {"file": file, "row": row, "reason": reason}
        self._rejected.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.rejected += 1

    def flush(self) -> None:
        """Writes a row group of what waits."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
            self._waiting, self._bytes = [], 0


@contextmanager
def part(path: Path, rejected: Path, schema: pa.Schema) -> Iterator[Part]:
    """Yields a part; its files get their names when it is complete, its rejected rows first.

    A part that is there is therefore complete, with its rejected rows.
    """
    rejected.parent.mkdir(exist_ok=True)
    partial, partial_rejected = (_partial(each) for each in (path, rejected))
    try:
        with (
            pq.ParquetWriter(partial, schema) as writer,
            partial_rejected.open("w", encoding="utf-8", errors="backslashreplace") as lines,
        ):
            result = Part(writer, lines)
            yield result
            result.flush()
        for each, name in ((partial_rejected, rejected), (partial, path)):
            with each.open("rb") as file:
                os.fsync(file.fileno())
            if each is partial or result.rejected:
                os.replace(each, name)
    finally:
        partial.unlink(missing_ok=True)
        partial_rejected.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def kept(
    column: pa.Array | Sequence[Any], kind: pa.DataType, name: str, faults: dict[int, str]
) -> pa.Array:
    """Returns a column of the input as it stands beside the outputs.

    Args:
        column: The column of a chunk.
        kind: Its type in the output.
        name: Its name, for faults.
        faults: Rows whose value has another type are added to it, by place.
    """
    if isinstance(column, pa.Array):
        return column if column.type == kind else column.cast(kind)
    found = [_as_text(value) for value in column] if pa.types.is_string(kind) else list(column)
    with contextlib.suppress(*_MISFITS):
        return pa.array(found, kind)
    for place, value in enumerate(found):
        try:
            pa.scalar(value, kind)
        except _MISFITS:
            faults.setdefault(place, f"column {name} is no {kind}: {str(value)[:60]}")
            found[place] = None
    return pa.array(found, kind)


def _as_text(value: Any) -> Any:
    """Returns texts as they are, and other values as JSON."""
    if value is None or isinstance(value, (str, bytes)):
        return value
    return json.dumps(value, ensure_ascii=False, default=repr)


def table(
    schema: pa.Schema,
    own: Mapping[str, pa.Array],
    answers: Sequence[tuple[Sequence[int], Mapping[str, pa.Array]]],
) -> pa.Table:
    """Returns the scored rows of a chunk in their order.

    Args:
        schema: The columns of the part.
        own: Columns of all rows of the chunk: file, row, and what is kept.
        answers: Places of rows, with the columns of their outputs.
    """
    pieces = []
    for places, outputs in answers:
        indices = pa.array(places, pa.int64())
        columns = {name: array.take(indices) for name, array in own.items()} | dict(outputs)
        pieces.append(pa.table([columns[each.name] for each in schema], schema))
    order = np.concatenate([np.array(places) for places, _ in answers])
    whole = pa.concat_tables(pieces)
    return whole if (np.diff(order) > 0).all() else whole.take(np.argsort(order))
