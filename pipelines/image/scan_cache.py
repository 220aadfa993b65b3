"""What was found in image files, kept in a folder, so that the next run need not decode them all.

A file counts as known while its path, size and time of last change, in nanoseconds, are those of
before. That is no proof: a program that changes pixels and then sets back the time goes unnoticed.
What is known is one Parquet file for each folder of images. It is written under another name and
renamed, so that it is whole or not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import pyarrow
import pyarrow.parquet

from pipelines.image.files import ImageFile, scan

_FOUND = [field.name for field in fields(ImageFile) if field.name != "name"]
# Path, size, and time of the last change in nanoseconds.
_STAMP = ("path", "size", "changed")
_Stamp = tuple[bytes, int, int]


def scanned(
    paths: Sequence[Path],
    folder: str,
    scan: Callable[[Sequence[Path]], Sequence[ImageFile | str]] = scan,
) -> list[ImageFile | str]:
    """Returns what `scan` finds, which reads only files that are new or have changed.

    Args:
        paths: Image files.
        folder: Where is kept what was found; "" reads all files.
        scan: Reads files.
    """
    if not folder or not paths:
        return list(scan(paths))
    file = _file(paths, Path(folder))
    known, stamps = _known(file), [_stamp(path) for path in paths]
    new = [number for number, stamp in enumerate(stamps) if stamp not in known]
    found = dict(zip(new, scan([paths[number] for number in new]), strict=True))
    results = [
        found[number] if number in found else ImageFile(str(path), *known[stamps[number]])
        for number, path in enumerate(paths)
    ]
    if new:
        _write(file, stamps, results)
    return results


def _file(paths: Sequence[Path], folder: Path) -> Path:
    """Returns the file of what is known of images that have this folder in common."""
    common = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    return folder / f"images-{hashlib.sha256(os.fsencode(common)).hexdigest()[:12]}.parquet"


def _stamp(path: Path) -> _Stamp | None:
    """Returns by what a file is known; None for one that cannot be read."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return os.fsencode(os.path.abspath(path)), status.st_size, status.st_mtime_ns


def _known(file: Path) -> Mapping[_Stamp | None, tuple]:
    try:
        table = pyarrow.parquet.read_table(file, columns=[*_STAMP, *_FOUND])
    except (OSError, pyarrow.ArrowException):  # None, or of another version.
        return {}
    columns = [column.to_pylist() for column in table.columns]
    size = len(_STAMP)
    return {row[:size]: row[size:] for row in zip(*columns, strict=True)}


def _write(file: Path, stamps: Sequence[_Stamp | None], results: Sequence[ImageFile | str]) -> None:
    """Writes what is known of good files; where that cannot be, they are read again next time."""
    rows = [
        (*stamp, *astuple(result)[1:])
        for stamp, result in zip(stamps, results, strict=True)
        if stamp and isinstance(result, ImageFile)
    ]
    names = [*_STAMP, *_FOUND]
    if not rows:
        return
    table = pyarrow.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    written = file.with_name(f".{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(table, written)
        written.replace(file)
    with contextlib.suppress(OSError):
        written.unlink()
