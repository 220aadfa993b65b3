"""Columns of numbers that are written as they come: in memory while small, in a file when large.

The file has no name, so that nothing is left of it, however the process ends. It lies where Python
puts temporary files, which TMPDIR chooses, and is mapped: what of it is in memory is the system's
cache of the disk, which gives way to whatever needs the room.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import IO

import numpy as np

from pipelines.errors import UserError, disk_is_full

# A column up to this size is an array in memory.
LIMIT = 1 << 22


class Stored:
    """A column to which arrays are appended; objects stay in memory."""

    def __init__(self, dtype: np.typing.DTypeLike, shape: tuple[int, ...] = ()) -> None:
        """Starts an empty column.

        Args:
            dtype: Of its numbers.
            shape: Of each of its rows.
        """
        self._dtype, self._shape = np.dtype(dtype), shape
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None
        self._rows = self._bytes = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, part: np.ndarray) -> None:
        """Appends rows, [rows, ...].

        Raises:
            UserError: The disk is full.
        """
        part = np.ascontiguousarray(part, self._dtype).reshape(len(part), *self._shape)
        self._rows += len(part)
        self._parts.append(part)
        self._bytes += part.nbytes
        if self._bytes > LIMIT and not self._dtype.hasobject:
            self._write()

    def column(self) -> np.ndarray:
        """Returns the column, [rows, ...]: an array, or a large one as a mapped file.

        Raises:
            UserError: The disk is full.
        """
        shape = (self._rows, *self._shape)
        if not self._file:
            empty = np.empty((0, *self._shape), self._dtype)
            return (
                np.concatenate([empty, *self._parts]) if len(self._parts) != 1 else self._parts[0]
            )
        try:
            self._file.flush()
        except OSError as error:
            raise _full(error) from error
        # TensorFlow takes arrays that may be written alone; what is written stays in memory.
        return np.memmap(self._file, self._dtype, "c", shape=shape)

    def _write(self) -> None:
        try:
            if not self._file:
                self._file = tempfile.TemporaryFile(prefix="foundry-")  # noqa: SIM115
            for part in self._parts:
                self._file.write(part.data)
        except OSError as error:
            raise _full(error) from error
        self._parts = []


def stored(parts: Iterable[np.ndarray], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Returns one column of arrays of numbers, [rows] each; a large one as a mapped file."""
    column = Stored(dtype)
    for part in parts:
        column.append(part)
    return column.column()


def is_mapped(column: np.ndarray) -> bool:
    """Returns whether a column is a file."""
    return isinstance(column, np.memmap)


def _full(error: OSError) -> UserError:
    reason = "the disk is full" if disk_is_full(error) else str(error)
    return UserError(
        f"columns of the data cannot be kept in {tempfile.gettempdir()}: {reason}; the environment "
        "variable TMPDIR names another folder"
    )
