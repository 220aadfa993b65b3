"""The metadata in a TensorFlow Lite model's file, which the interpreter does not give out.

A model is a flatbuffer, whose fields are numbered here as in tensorflow/lite/schema/schema.fbs;
the map in a metadata buffer is a flexbuffer.
"""

from __future__ import annotations

import flatbuffers
from flatbuffers import flexbuffers

_BUFFERS_OF_MODEL = 4
_METADATA_OF_MODEL = 6
_NAME_OF_METADATA = 0
_BUFFER_OF_METADATA = 1
_DATA_OF_BUFFER = 0


def metadata_map(content: bytes, name: str) -> dict[str, bytes]:
    """Returns the entries of a metadata buffer that holds a map; none if there is no such buffer.

    Args:
        content: A model, which must be a valid flatbuffer.
        name: The name of the metadata.

    Raises:
        TypeError, ValueError, IndexError: The buffer does not hold a map.
    """
    number = flatbuffers.number_types.UOffsetTFlags
    model = flatbuffers.table.Table(content, flatbuffers.encode.Get(number.packer_type, content, 0))
    for metadata in _tables(model, _METADATA_OF_MODEL):
        offset = _offset(metadata, _NAME_OF_METADATA)
        if not offset or metadata.String(offset + metadata.Pos) != name.encode():
            continue
        offset = _offset(metadata, _BUFFER_OF_METADATA)
        index = metadata.Get(number, offset + metadata.Pos) if offset else 0
        buffer = _tables(model, _BUFFERS_OF_MODEL)[index]
        offset = _offset(buffer, _DATA_OF_BUFFER)
        if not offset:
            raise ValueError(f"the metadata {name} is empty")
        start = buffer.Vector(offset)
        entries = flexbuffers.GetRoot(content[start : start + buffer.VectorLen(offset)]).AsMap
        return {
            key.AsKey: value.AsStringBytes
            for key, value in zip(entries.Keys, entries.Values, strict=True)
        }
    return {}


def _tables(parent: flatbuffers.table.Table, field: int) -> list[flatbuffers.table.Table]:
    """Returns the tables in a field that is a vector of them."""
    offset = _offset(parent, field)
    if not offset:
        return []
    start = parent.Vector(offset)
    positions = range(start, start + 4 * parent.VectorLen(offset), 4)
    return [
        flatbuffers.table.Table(parent.Bytes, parent.Indirect(position)) for position in positions
    ]


def _offset(table: flatbuffers.table.Table, field: int) -> int:
    """Returns the offset of a field from the table's start; 0 if the field is not set."""
    return table.Offset(4 + 2 * field)
