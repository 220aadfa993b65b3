"""Which values of masks are classes, and which are void."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.datasets import encodings
from pipelines.errors import UserError

# The value of pixels without a class: they count neither in the loss nor in scores.
IGNORE_ID = 255

# So many values are named one by one.
_NAMED = 3
# The edges of smooth drawings have so many values, whose median is so small a part of the white.
_EDGE_VALUES = 8
_EDGE_SHARE = 0.05


@dataclass(frozen=True)
class Occurrences:
    """How often each value from 0 to 255 occurs in masks.

    Attributes:
        pixels: Number of pixels with each value, int64 [256].
        masks: Number of masks that have each value, int64 [256].
        places: By value, the name of a mask that has it; nothing where masks have no names.
        beside_void: The values other than 0 of masks that have `IGNORE_ID`, too.
    """

    pixels: np.ndarray
    masks: np.ndarray
    places: Mapping[int, str] = field(default_factory=dict)
    beside_void: frozenset[int] = frozenset()

    def describe(self, value: int) -> str:
        """Returns how often a value occurs, as "value 7 occurs in 2 pixels of 1 mask"."""
        pixels, masks = int(self.pixels[value]), int(self.masks[value])
        where = f"{masks:,} mask{'s' * (masks != 1)}"
        if place := self.places.get(value):
            where = place if masks == 1 else f"{where}, as {place}"
        return f"value {value} occurs in {pixels:,} pixel{'s' * (pixels != 1)} of {where}"


def of_values(found: Occurrences, share: float, place: str) -> tuple[dict[int, str], list[str]]:
    """Returns the values that are classes with their names, in ascending order, and notes.

    Classes are the values of at least `share` of all pixels, and in any case the two that occur
    most. Of these, `IGNORE_ID` is void if there are two others: in masks of two values it is often
    the white of the foreground.

    Args:
        found: Of the masks of all splits.
        share: A fraction of all pixels.
        place: What the masks belong to, for error messages.

    Raises:
        UserError: There are fewer than two values.
    """
    values = np.flatnonzero(found.pixels)
    frequent = values[found.pixels[values] >= share * found.pixels.sum()]
    most = values[np.argsort(-found.pixels[values], kind="stable")][:2]
    chosen = sorted({*frequent.tolist(), *most.tolist()})
    if len(chosen) < 2:
        only = ", ".join(found.describe(value) for value in chosen)
        raise UserError(f"the masks of {place} have fewer than two classes: {only or 'no value'}")
    if len(chosen) > 2 and IGNORE_ID in chosen:
        chosen.remove(IGNORE_ID)
    void = [value for value in values.tolist() if value not in chosen]
    reason = f"less than {share:g} of all pixels (--class_share)"
    notes = [
        f"{found.describe(value)}, {reason}; it is a class nevertheless, one of two"
        for value in chosen
        if value not in frequent
    ]
    notes += _about_void(found, void, reason)
    return {value: f"class {value}" for value in chosen}, notes


def check_void(found: Occurrences, names: Mapping[int, str], place: str) -> None:
    """Raises `UserError` if `IGNORE_ID` counts as void, but is rather the white of a foreground.

    Args:
        found: Of the masks of all splits.
        names: The classes, as `of_values` returns them.
        place: What the masks belong to.
    """
    white = found.pixels[IGNORE_ID]
    if IGNORE_ID in names or not white:
        return
    hint = "or name the classes in classes.txt"
    between = np.flatnonzero(found.pixels[1:IGNORE_ID]) + 1
    # Numbers of classes are near 0; what is between black and white is everywhere.
    spread = 2 * (between >= 128).sum() >= (between < 128).sum()
    rare = np.median(found.pixels[between]) < _EDGE_SHARE * white
    if len(between) >= _EDGE_VALUES and spread and rare:
        shown = ", ".join(map(str, between[:_NAMED]))
        raise UserError(
            f"the masks of {place} look resized or smoothed: between 0 and 255 they have "
            f"{len(between)} values, {shown}, … {between[-1]}; save them without interpolation, "
            f"{hint}"
        )
    other = max(names)
    alike = list(names) == [0, other] and other not in found.beside_void
    if alike and min(found.masks[other], found.masks[IGNORE_ID]) > 1:
        raise UserError(
            f"the masks of {place} differ in what is in them beside 0: "
            f"{found.describe(other)}, {found.describe(IGNORE_ID)}, and none has both; write one "
            f"value for one class, {hint}"
        )


def of_names(found: Occurrences, names: Mapping[int, str], file: Path) -> list[str]:
    """Returns notes about values of masks that are not in a file of class names, and its unused.

    Raises:
        UserError: Fewer than two of the classes occur.
    """
    values = np.flatnonzero(found.pixels).tolist()
    void = [value for value in values if value not in names]
    unused = [f"{value} {name}" for value, name in names.items() if value not in values]
    if len(names) - len(unused) < 2:
        what = "; ".join(found.describe(value) for value in values[:_NAMED])
        raise UserError(f"fewer than two classes of {file} occur in the masks: {what}")
    notes = _about_void(found, void, f"not in {file.name}")
    if unused:
        notes.append(f"in no mask, though in {file}: {', '.join(unused)}")
    return notes


def read_names(file: Path, encoding: str = "") -> dict[int, str]:
    """Reads a file of class names, on each line VALUE NAME, or NAME of the values 0, 1, ….

    Raises:
        UserError: It cannot be read, or a value or name is not possible.
    """
    text, _ = encodings.read_text(file, encoding)
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    lines = [(number, line) for number, line in lines if line]
    numbered = [re.fullmatch(r"(\d+)[\s:,;=]+(.+)", line) for _, line in lines]
    names: dict[int, str] = {}
    for index, (number, line) in enumerate(lines):
        match = numbered[index]
        if any(numbered) and not match:
            raise UserError(f"{file}, line {number}: VALUE NAME is needed, not {line!r}")
        value, name = (int(match[1]), match[2]) if match else (index, line)
        if value > 255 or value in names or name in names.values():
            what = "above 255" if value > 255 else "there twice"
            raise UserError(f"{file}, line {number}: {line!r} is {what}")
        names[value] = name
    if not 2 <= len(names) <= 255:
        raise UserError(f"{file} needs 2 to 255 classes; it has {len(names)}")
    return dict(sorted(names.items()))


def _about_void(found: Occurrences, values: Sequence[int], reason: str) -> list[str]:
    """Returns notes about values that count as void."""
    notes = []
    if IGNORE_ID in values:
        notes.append(f"{found.describe(IGNORE_ID)}; it counts as void")
    others = sorted((v for v in values if v != IGNORE_ID), key=lambda v: -found.pixels[v])
    notes += [f"{found.describe(v)}, {reason}; it counts as void" for v in others[:_NAMED]]
    if rest := others[_NAMED:]:
        pixels = int(found.pixels[rest].sum())
        notes.append(
            f"{len(rest)} more values, from {min(rest)} to {max(rest)}, occur in {pixels:,} "
            f"pixels, each {reason}; they count as void"
        )
    return notes
