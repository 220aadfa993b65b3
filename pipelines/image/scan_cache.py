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
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from pipelines.datasets.text_columns import Numbers, digests
from pipelines.image.file_columns import FACTS, ImageFiles, Scanned, collected, paths_of
from pipelines.image.files import ImageFile, scan

# Path, size, and time of the last change in nanoseconds; what was found.
_SCHEMA = pyarrow.schema(
    [
        *(("path", pyarrow.binary()), ("size", pyarrow.int64()), ("changed", pyarrow.int64())),
        *(("digest", pyarrow.string()), ("height", pyarrow.int64()), ("width", pyarrow.int64())),
        *(("gray", pyarrow.bool_()), ("kind", pyarrow.string()), ("largest", pyarrow.int64())),
        ("pages", pyarrow.int64()),
    ]
)
_CHUNK = 1 << 14


def scanned(
    paths: Sequence[Path],
    folder: str,
    scan: Callable[[Sequence[Path]], Iterable[ImageFile | str]] = scan,
) -> Scanned:
    """Returns what `scan` finds, which reads only files that are new or have changed.

    Args:
        paths: Image files.
        folder: Where is kept what was found; "" reads all files.
        scan: Reads files.
    """
    packed = paths_of(paths)
    if not folder or not len(packed):
        return collected(packed, scan(packed))
    file, stamps = _file(packed, Path(folder)), _stamps(packed)
    known, known_facts = _known(file)
    wanted = _keys(map(_absolute, packed), stamps)
    place = np.searchsorted(known, wanted)
    place[place == len(known)] = 0
    is_known = (stamps[:, 0] >= 0) & (known[place] == wanted if len(known) else False)
    new = np.flatnonzero(~is_known)
    fresh = collected(packed.take(new), scan(packed.take(new)))
    facts = np.zeros(len(packed), FACTS)
    facts[is_known] = known_facts[place[is_known]]
    facts[new] = fresh.files.facts
    problems = {int(new[row]): problem for row, problem in fresh.problems.items()}
    found = Scanned(ImageFiles(packed, facts), problems)
    if len(new):
        _write(file, stamps, found)
    return found


def _file(paths: Sequence[Path], folder: Path) -> Path:
    """Returns the file of what is known of images that have this folder in common."""
    common = os.path.commonpath({os.path.abspath(path.parent) for path in paths})
    return folder / f"images-{hashlib.sha256(os.fsencode(common)).hexdigest()[:12]}.parquet"


def _absolute(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))


def _stamps(paths: Iterable[Path]) -> np.ndarray:
    """Returns (size, time of last change) of files, int64 [files, 2]; -1 if one cannot be read."""
    stamps = Numbers("q")
    for path in paths:
        try:
            status = path.stat()
        except (OSError, ValueError):
            stamps.extend((-1, -1))
        else:
            stamps.extend((status.st_size, status.st_mtime_ns))
    return np.frombuffer(stamps, np.int64).reshape(-1, 2)


def _keys(paths: Iterable[bytes], stamps: np.ndarray) -> np.ndarray:
    """Returns by what files are known, int64 [files], which few files share by chance."""
    pairs = zip(paths, stamps.tolist(), strict=True)
    return digests(f"{path!r} {size} {changed}" for path, (size, changed) in pairs)


def _known(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the keys of files that are known, in ascending order, and what is known of them."""
    try:
        table = pyarrow.parquet.read_table(file, columns=_SCHEMA.names)
    except (OSError, pyarrow.ArrowException):  # None, or of another version.
        return np.zeros(0, np.int64), np.zeros(0, FACTS)
    facts = np.zeros(len(table), FACTS)
    for name in FACTS.names or ():
        values = table[name].to_pylist()
        facts[name] = [bytes.fromhex(one) for one in values] if name == "digest" else values
    stamps = np.stack([table[name].to_numpy() for name in ("size", "changed")], 1)
    keys = _keys((path.as_py() for path in table["path"]), stamps)
    order = np.argsort(keys)
    return keys[order], facts[order]


def _write(file: Path, stamps: np.ndarray, found: Scanned) -> None:
    """Writes what is known of good files; where that cannot be, they are read again next time."""
    rows = found.good()
    rows = rows[stamps[rows, 0] >= 0]
    if not len(rows):
        return
    files = found.files.take(rows)
    written = file.with_name(f".{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with pyarrow.parquet.ParquetWriter(written, _SCHEMA) as writer:
            for start in range(0, len(files), _CHUNK):
                chosen = slice(start, start + _CHUNK)
                size, changed = stamps[rows[chosen]].T
                columns = {
                    "path": list(map(_absolute, files.paths[chosen])),
                    "size": size,
                    "changed": changed,
                    **{name: files.facts[name][chosen].tolist() for name in FACTS.names or ()},
                    "digest": [one.hex() for one in files.facts["digest"][chosen].tolist()],
                }
                writer.write_table(pyarrow.table(columns, _SCHEMA))
        written.replace(file)
    with contextlib.suppress(OSError):
        written.unlink()
