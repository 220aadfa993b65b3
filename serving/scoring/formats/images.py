"""Folders of images: each file is a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from serving.errors import UserError
from serving.query import pictures
from serving.scoring.formats.rows import Chunk, Column, Shard, chunk_of

IMAGE = "image"


def columns(path: str) -> list[Column]:
    """Returns the only column, the encoded image."""
    return [Column(IMAGE, "image")]


def read(shard: Shard, wanted: Sequence[Column], size: int) -> Iterator[Chunk]:
    """Yields the images of a shard, at most `size` at a time."""
    for start in range(0, len(shard.images), size):
        rows = [_row(path) for path in shard.images[start : start + size]]
        yield chunk_of(shard.start + start, rows, wanted)


def _row(path: str) -> dict[str, Any] | str:
    try:
        return {IMAGE: pictures.read(Path(path))[0]}
    except UserError as error:
        return str(error)
