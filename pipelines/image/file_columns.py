"""Image files as columns: a path takes little more than its bytes, what was found in it 60 more.

As objects of Python they take .8 KB. Columns of many files are in a file themselves, see `stored`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import tensorflow as tf

from pipelines.datasets import in_memory
from pipelines.datasets.stored import Stored
from pipelines.image.files import BY_GRAPH, ImageFile

# The fields of an `ImageFile` behind its name.
FACTS = np.dtype(
    [
        *(("digest", "V32"), ("height", np.int32), ("width", np.int32), ("gray", np.bool_)),
        *(("kind", "S12"), ("largest", np.int16), ("pages", np.int32)),
    ]
)
_CHUNK = 1 << 12
# Paths that are cut out at once in a graph.
_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Paths(Sequence[Path]):
    """Paths; a slice of them is a list.

    Attributes:
        content: The bytes of all paths, uint8.
        starts: Where each path begins in it, int64 [paths].
        ends: Where each path ends.
    """

    content: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, key: int) -> Path: ...
    @overload
    def __getitem__(self, key: slice) -> list[Path]: ...
    def __getitem__(self, key: Any) -> Any:
        rows = range(len(self))[key]
        if isinstance(rows, int):
            return self[rows : rows + 1][0]
        return list(map(Path, self.names(key)))

    def __iter__(self) -> Iterator[Path]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]

    def names(self, part: slice) -> list[str]:
        """Returns some of the paths as text."""
        places = zip(self.starts[part].tolist(), self.ends[part].tolist(), strict=True)
        return [os.fsdecode(self.content[start:end].tobytes()) for start, end in places]

    def take(self, rows: np.ndarray) -> Paths:
        """Returns some of the paths."""
        return replace(self, starts=self.starts[rows], ends=self.ends[rows])


def paths_of(paths: Iterable[Path]) -> Paths:
    """Returns paths, which are read a part at a time."""
    if isinstance(paths, Paths):
        return paths
    content, lengths, rest = Stored(np.uint8), Stored(np.int64), iter(paths)
    while chunk := list(islice(rest, _CHUNK)):
        names = list(map(os.fsencode, chunk))
        content.append(np.frombuffer(b"".join(names), np.uint8))
        lengths.append(np.array(list(map(len, names))))
    ends = np.cumsum(lengths.column())
    return Paths(content.column(), ends - lengths.column(), ends)


def joined(parts: Sequence[Paths]) -> Paths:
    """Returns paths as one, those of the first part before those of the second."""
    return parts[0] if len(parts) == 1 else paths_of(chain.from_iterable(parts))


@dataclass(frozen=True, eq=False)
class ImageFiles(Sequence[ImageFile]):
    """Files that can be decoded.

    Attributes:
        paths: Where they are.
        facts: `FACTS` [files].
    """

    paths: Paths
    facts: np.ndarray

    def __len__(self) -> int:
        return len(self.facts)

    @overload
    def __getitem__(self, key: int) -> ImageFile: ...
    @overload
    def __getitem__(self, key: slice) -> list[ImageFile]: ...
    def __getitem__(self, key: Any) -> Any:
        rows = range(len(self))[key]
        if isinstance(rows, int):
            return self[rows : rows + 1][0]
        pairs = zip(self.paths.names(key), self.facts[key].tolist(), strict=True)
        return [
            ImageFile(name, digest.hex(), height, width, gray, kind.decode(), largest, pages)
            for name, (digest, height, width, gray, kind, largest, pages) in pairs
        ]

    def __iter__(self) -> Iterator[ImageFile]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]

    @property
    def keys(self) -> np.ndarray:
        """64 bits of the digest of each file, int64 [files], which few files share by chance."""
        first = [("key", np.int64), ("rest", "V24")]
        return np.ascontiguousarray(self.facts["digest"]).view(first)["key"]

    def rows(self, *columns: np.ndarray) -> tf.data.Dataset:
        """Returns (path, whether the graph decodes it, …) of each file, with its rows of columns.

        Paths are cut out as they are needed: a tensor of texts takes 40 bytes more for each.
        """
        kinds = [kind.encode() for kind in BY_GRAPH]
        places = [self.paths.starts, self.paths.ends, np.isin(self.facts["kind"], kinds), *columns]
        content, *tensors = map(in_memory.tensor, (self.paths.content, *places))
        characters = tf.constant([bytes([code]) for code in range(256)])

        def gather(numbers: tf.Tensor) -> tuple[tf.Tensor, ...]:
            starts, ends, *others = (tf.gather(column, numbers) for column in tensors)
            places = tf.ragged.range(starts, ends)
            codes = tf.cast(tf.gather(content, places.flat_values), tf.int32)
            names = places.with_flat_values(tf.gather(characters, codes))
            return tf.strings.reduce_join(names, axis=1), *others

        return in_memory.numbers(len(self)).batch(_AT_ONCE).map(gather).unbatch()

    def sizes(self) -> np.ndarray:
        """Returns (height, width) of each file, int64 [files, 2]."""
        return np.stack([self.facts["height"], self.facts["width"]], 1).astype(np.int64)

    def take(self, rows: np.ndarray) -> ImageFiles:
        """Returns some of the files."""
        return ImageFiles(self.paths.take(rows), self.facts[rows])


@dataclass(frozen=True, eq=False)
class Scanned(Sequence[ImageFile | str]):
    """What was found in files.

    Attributes:
        files: All of them.
        problems: What is wrong with some, by their numbers.
    """

    files: ImageFiles
    problems: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, key: int) -> ImageFile | str: ...
    @overload
    def __getitem__(self, key: slice) -> list[ImageFile | str]: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return [self[row] for row in range(*key.indices(len(self)))]
        return self.problems[key] if key in self.problems else self.files[key]

    def __iter__(self) -> Iterator[ImageFile | str]:
        return (self.problems.get(row, file) for row, file in enumerate(self.files))

    def good(self) -> np.ndarray:
        """Returns the numbers of the files that have no problem, int64."""
        return np.delete(np.arange(len(self)), list(self.problems))


def collected(paths: Paths, found: Iterable[ImageFile | str]) -> Scanned:
    """Returns what was found in the files of paths, which is read a part at a time."""
    problems = dict[int, str]()

    def facts() -> Iterator[tuple]:
        for row, each in enumerate(found):
            if isinstance(each, str):
                problems[row] = each
                yield (b"", 0, 0, False, b"", 0, 0)
            else:
                yield _facts(each)

    return Scanned(ImageFiles(paths, _stored(facts())), problems)


def files_of(files: Iterable[ImageFile]) -> ImageFiles:
    """Returns files as columns."""
    every = list(files)
    return ImageFiles(paths_of(file.path for file in every), _stored(map(_facts, every)))


def _facts(file: ImageFile) -> tuple:
    size = file.height, file.width
    return (bytes.fromhex(file.digest), *size, file.gray, file.kind, file.largest, file.pages)


def _stored(facts: Iterable[tuple]) -> np.ndarray:
    rest, column = iter(facts), Stored(FACTS)
    while chunk := list(islice(rest, _CHUNK)):
        column.append(np.array(chunk, FACTS))
    return column.column()
