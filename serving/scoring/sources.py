"""The files of rows: which they are, what they hold, and how they are divided into shards."""

from __future__ import annotations

import glob
import hashlib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from serving.errors import UserError
from serving.query import pictures
from serving.scoring.formats.rows import Column, Shard

# Module of each format, and the ends of names that it has.
FORMATS = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".tsv"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "records": (".tfrecord", ".tfrecords"),
    "images": tuple(sorted(pictures.SUFFIXES)),
}
# Bytes of a file that its fingerprint reads: all of a small one, else evenly spaced pieces.
_PIECE, _PIECES = 1 << 20, 64


@dataclass(frozen=True)
class Source:
    """An input file, or a folder of images.

    Attributes:
        path: The path.
        format: A key of `FORMATS`.
        images: The images of a folder.
    """

    path: str
    format: str
    images: tuple[str, ...] = ()

    def described(self) -> dict[str, object]:
        """Returns what a manifest says of it.

        Raises:
            UserError: It cannot be read.
        """
        try:
            size = sum(Path(each).stat().st_size for each in self.images or (self.path,))
            found = {"path": self.path, "format": self.format, "bytes": size}
            return found | {"sha256": self.fingerprint()}
        except OSError as error:
            raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error

    def fingerprint(self) -> str:
        """Returns a SHA-256 of the content; of images, the names and sizes count.

        Of a file of more than 64 MiB, its size and 64 evenly spaced MiB count.
        """
        total = hashlib.sha256()
        if self.images:
            for each in self.images:
                total.update(f"{each}\0{Path(each).stat().st_size}\0".encode())
            return total.hexdigest()
        size = Path(self.path).stat().st_size
        total.update(f"{size}\0".encode())
        with open(self.path, "rb") as file:
            for piece in range(_PIECES):
                if size > _PIECE * _PIECES:
                    file.seek(piece * (size - _PIECE) // (_PIECES - 1))
                total.update(file.read(_PIECE))
        return total.hexdigest()

    def columns(self) -> list[Column]:
        """Returns the columns.

        Raises:
            UserError: The file cannot be read.
        """
        found: list[Column] = reader(self.format).columns(self.path)
        return found

    def ranges(self, rows: int) -> Iterator[tuple[int, int, int]]:
        """Yields start, stop and offset of shards of about `rows` rows.

        Raises:
            UserError: The file cannot be read.
        """
        if self.images:
            count = len(self.images)
            return ((i, min(i + rows, count), 0) for i in range(0, count, rows))
        found: Iterator[tuple[int, int, int]] = reader(self.format).shards(self.path, rows)
        return found

    def shard(self, number: int, start: int, stop: int, offset: int) -> Shard:
        return Shard(number, self.path, start, stop, offset, self.images[start:stop])


def reader(format: str) -> ModuleType:
    """Returns the module that reads a format."""
    return importlib.import_module(f"serving.scoring.formats.{format}")


def find(patterns: Sequence[str]) -> list[Source]:
    """Returns the files of paths, patterns and folders, in order; a folder of images is one source.

    Hidden files do not count, nor do those whose names begin with an underscore.

    Raises:
        UserError: There are none, or they have several formats or an unknown one.
    """
    found: list[Source] = []
    single: list[str] = []
    for pattern in patterns:
        paths = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise UserError(f"no file is called {pattern}")
        for path in paths:
            if Path(path).is_dir():
                found += _of_folder(path)
            elif _format(path) == "images":
                single.append(path)
            elif format := _format(path):
                found.append(Source(path, format))
            else:
                raise UserError(_unknown(path))
    if single:
        found.append(Source(str(Path(single[0]).parent), "images", tuple(single)))
    formats = sorted({source.format for source in found})
    if len(formats) > 1:
        raise UserError(
            f"the input has several formats: {', '.join(formats)}; score each by itself"
        )
    paths = [path for source in found for path in source.images or (source.path,)]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise UserError(f"{twice} is given twice")
    return found


def _of_folder(folder: str) -> list[Source]:
    paths = [
        str(path)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not any(part[0] in "._" for part in path.relative_to(folder).parts)
    ]
    known = [(path, _format(path)) for path in paths]
    images = tuple(path for path, format in known if format == "images")
    others = [Source(path, format) for path, format in known if format not in ("", "images")]
    if not images and not others:
        raise UserError(f"{folder} has no files to score: {_known()}")
    return [*others, *([Source(folder, "images", images)] if images else [])]


def _format(path: str) -> str:
    name = Path(path).name.lower()
    for format, suffixes in FORMATS.items():
        if name.endswith(suffixes):
            return format
    # As data sets are cut into files: digits-train.tfrecord-00000-of-00004.
    return "records" if ".tfrecord-" in name else ""


def _unknown(path: str) -> str:
    if path.lower().endswith((".gz", ".zst", ".bz2", ".xz", ".zip")):
        return f"{path} is compressed, so that no row can be found in it; decompress it first"
    return f"{path} is of no known format: {_known()}"


def _known() -> str:
    return "known are Parquet, CSV, JSON lines, TFRecords (.tfrecord) and images"
