"""Folders of classes that rather hold the classes: parts of the data, or splits within a class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pipelines.datasets import files
from pipelines.errors import UserError
from pipelines.image.files import named

_SPLIT_WORDS = {*(name for names in files.SPLIT_NAMES.values() for name in names), "pred"}
# Words of folders that are parts of the data rather than classes.
_PART_WORDS = {"fold", "part", "batch", "split", "original", "augmented", "aug"}
_ALL_WORDS = _SPLIT_WORDS | _PART_WORDS


def notes(inner: Mapping[str, set[str]], folder: Path) -> list[str]:
    """Returns a note if folders of classes have folders of the same names in them.

    Args:
        inner: By the name of a class' folder, those of the folders in it that have images.
        folder: The folder of the classes.

    Raises:
        UserError: The classes are within, below parts of the data as fold1/CLASS; or splits are,
            as CLASS/train and CLASS/test.
    """
    counts = Counter(name for within in inner.values() for name in within)
    shared = {name for name, number in counts.items() if number > 1}
    _check_parts(folder, inner, shared)
    _check_splits(folder, inner, shared)
    alike = sorted(name for name, within in inner.items() if len(within & shared) > 1)
    if not alike:
        return []
    return [
        f"the classes are the folders of {folder}, as {named(alike)}, and not those within "
        f"several of them, as {named(sorted(shared))}"
    ]


def _check_parts(folder: Path, inner: Mapping[str, set[str]], shared: set[str]) -> None:
    """Raises `UserError` if all folders are called after parts of the data, and classes within."""
    words = {name: _words(name) for name in inner}
    deep = [name for name, within in sorted(inner.items()) if within]
    deep.sort(key=lambda name: not words[name] & set(files.SPLIT_NAMES["train"]))
    if len(inner) < 2 or not deep or not all(own & _ALL_WORDS for own in words.values()):
        return
    if all(own & _SPLIT_WORDS for own in words.values()) or len(shared) > 1:
        within = sorted(inner[deep[0]])
        place = folder / deep[0] / (within[0] if len(within) == 1 else "")
        raise UserError(
            f"{folder} looks like PART/CLASS, with the folders {named(within)} in {deep[0]}: pass "
            f"one part, as {place}, or name the parts train, validation and test"
        )


def _check_splits(folder: Path, inner: Mapping[str, set[str]], shared: set[str]) -> None:
    """Raises `UserError` if several classes have several splits within."""
    splits = sorted(name for name in shared if files.split_of(Path(name)))
    if len({files.split_of(Path(name)) for name in splits}) < 2:
        return
    outer = min(name for name, within in inner.items() if within & set(splits))
    raise UserError(
        f"{folder} looks like CLASS/SPLIT, with {named(splits)} in {outer} and others: put the "
        f"splits outside, as {splits[0]}/{outer}"
    )


def _words(name: str) -> set[str]:
    return set(re.split(r"[\W\d_]+", name.lower()))
