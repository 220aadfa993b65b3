"""TFRecord files without TensorFlow.

A record is its length (uint64), a checksum of the length, the bytes, and a checksum of the bytes,
all little-endian. The checksums are masked CRC-32C. Source:
tensorflow/core/lib/io/record_reader.cc.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed.
_MASK = 0xA282EAD8


def read(path: Path) -> Iterator[bytes]:
    """Yields the records of a file.

    The checksums are computed byte by byte, about ten megabytes per second.

    Raises:
        ValueError: The file is truncated, or a checksum does not match.
    """
    with path.open("rb") as file:
        number = 0
        while header := file.read(12):
            number += 1
            if len(header) < 12:
                raise ValueError(f"{path} is truncated in record {number}")
            length, of_length = struct.unpack("<QI", header)
            if masked_crc(header[:8]) != of_length:
                raise ValueError(f"{path} is damaged: the length of record {number}")
            record, of_record = file.read(length), file.read(4)
            if len(record) < length or len(of_record) < 4:
                raise ValueError(f"{path} is truncated in record {number}")
            if masked_crc(record) != int.from_bytes(of_record, "little"):
                raise ValueError(f"{path} is damaged: the content of record {number}")
            yield record


def masked_crc(content: bytes) -> int:
    """Returns the checksum of TFRecords."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _table()
