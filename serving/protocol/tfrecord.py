"""TFRecord files without TensorFlow.

A record is its length (uint64), a checksum of the length, the bytes, and a checksum of the bytes,
all little-endian. The checksums are masked CRC-32C. Source:
tensorflow/core/lib/io/record_reader.cc.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

_POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed.
_MASK = 0xA282EAD8
_HEADER, _FOOTER = 12, 4
# Bytes whose checksum is computed one after the other; blocks of them are computed side by side.
_BLOCK = 256


def read(path: Path) -> Iterator[bytes]:
    """Yields the records of a file.

    Raises:
        ValueError: The file is truncated, or a checksum does not match.
    """
    for number, (record, intact) in enumerate(read_from(path, 0, 64), 1):
        if not intact:
            raise ValueError(f"{path} is damaged: the content of record {number}")
        yield record


def read_from(path: Path, offset: int, size: int) -> Iterator[tuple[bytes, bool]]:
    """Yields records and whether their checksum matches, from where one of them begins.

    Args:
        path: The file.
        offset: Where the first record begins, in bytes.
        size: Number of records whose checksums are computed together.

    Raises:
        ValueError: The file is truncated, or a length is damaged.
    """
    with path.open("rb") as file:
        file.seek(offset)
        found = _records(path, file)
        while batch := list(islice(found, size)):
            sums = masked_crcs([record for record, _ in batch])
            for (record, of_record), of_content in zip(batch, sums.tolist(), strict=True):
                yield record, of_record == of_content


def ends(path: Path) -> Iterator[int]:
    """Yields where each record ends, in bytes; reads their lengths alone.

    Raises:
        ValueError: The file is truncated, or a length is damaged.
    """
    size, end = path.stat().st_size, 0
    with path.open("rb") as file:
        for number, length in enumerate(_lengths(path, file), 1):
            end += _HEADER + length + _FOOTER
            if end > size:
                raise ValueError(f"{path} is truncated in record {number}")
            file.seek(end)
            yield end


def _records(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yields the records of an open file with their checksums."""
    size = os.fstat(file.fileno()).st_size
    for number, length in enumerate(_lengths(path, file), 1):
        if length > size - file.tell() - _FOOTER:  # However long that is, it takes no memory.
            raise ValueError(f"{path} is truncated in record {number}")
        record, of_record = file.read(length), file.read(_FOOTER)
        yield record, int.from_bytes(of_record, "little")


def _lengths(path: Path, file: BinaryIO) -> Iterator[int]:
    """Yields the length of each record; the caller moves the file to the next one."""
    number = 0
    while header := file.read(_HEADER):
        number += 1
        if len(header) < _HEADER:
            raise ValueError(f"{path} is truncated in record {number}")
        length, of_length = struct.unpack("<QI", header)
        if masked_crc(header[:8]) != of_length:
            raise ValueError(f"{path} is damaged: the length of record {number}")
        yield length


def masked_crc(content: bytes) -> int:
    """Returns the checksum of TFRecords, computed byte by byte."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return _masked(crc)


def masked_crcs(contents: Sequence[bytes]) -> np.ndarray:
    """Returns the checksums of several records, uint64, ten times as fast as one after the other.

    A CRC is linear: its initial value of ones is the first four bytes inverted, zeros before them
    change nothing, and the CRC of two blocks is that of the first one, moved on by as many zero
    bytes as the second one has, xor that of the second one.
    """
    counts = [max(1, -(-len(content) // _BLOCK)) for content in contents]
    blocks = np.zeros((sum(counts), _BLOCK), np.uint8)
    lasts = np.cumsum(counts) - 1
    flat = blocks.reshape(-1)
    for content, last in zip(contents, lasts.tolist(), strict=True):
        end = (last + 1) * _BLOCK
        flat[end - len(content) : end] = np.frombuffer(content, np.uint8)
        flat[end - len(content) : min(end, end - len(content) + 4)] ^= 0xFF
    crcs = np.zeros(len(blocks), np.uint32)
    for column in blocks.T:
        crcs = _NUMPY_TABLE[(crcs ^ column) & 0xFF] ^ (crcs >> 8)
    results = np.zeros(len(contents), np.uint32)
    for step in range(max(counts, default=0) - 1, -1, -1):
        there = np.array(counts) > step
        moved = results[there]
        moved = _moved(moved)
        results[there] = moved ^ crcs[lasts[there] - step]
    for place, content in enumerate(contents):
        if len(content) < 4:  # What is left of the initial value.
            results[place] ^= np.uint32(0xFFFFFFFF >> (8 * len(content)))
    return np.array([_masked(int(crc)) for crc in results], np.uint64)


def _moved(crcs: np.ndarray) -> np.ndarray:
    """Returns CRCs after a block of zero bytes."""
    parts = [_BLOCK_TABLES[byte][(crcs >> (8 * byte)) & 0xFF] for byte in range(4)]
    return parts[0] ^ parts[1] ^ parts[2] ^ parts[3]


def _masked(crc: int) -> int:
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


def _block_tables() -> np.ndarray:
    """Returns uint32 [4, 256]: each byte of a CRC after a block of zero bytes."""
    crcs = (np.arange(256, dtype=np.uint32)[None] << np.array([[0], [8], [16], [24]])).astype(
        np.uint32
    )
    for _ in range(_BLOCK):
        crcs = _NUMPY_TABLE[crcs & 0xFF] ^ (crcs >> 8)
    return crcs


_TABLE = _table()
_NUMPY_TABLE = np.array(_TABLE, np.uint32)
_BLOCK_TABLES = _block_tables()
