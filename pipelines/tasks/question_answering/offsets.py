"""Where an answer is in its passage: its offset is checked against the text, whatever it counts."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass

CHARACTERS = "characters"
FROM_ONE = "characters counted from 1"
# The vowels and final consonants of Hangul, which continue a syllable as marks do.
_JAMO = ("\u1160", "\u11ff")


def _line_breaks_of_two(passage: str) -> list[int]:
    before = "\0" + passage
    return [1 + (c == "\n" and b != "\r") for b, c in zip(before, passage, strict=False)]


def _line_breaks_of_one(passage: str) -> list[int]:
    behind = passage[1:] + "\0"
    return [int((c, b) != ("\r", "\n")) for c, b in zip(passage, behind, strict=False)]


def _single_spaces(passage: str) -> list[int]:
    before = " " + passage
    return [int(not (c.isspace() and b.isspace())) for b, c in zip(before, passage, strict=False)]


def _composed(passage: str) -> list[int]:
    widths = [0] * len(passage)
    for start, end in _clusters(passage):
        # At the last, so that the letter behind is the first with its offset.
        widths[end - 1] = len(unicodedata.normalize("NFC", passage[start:end]))
    return widths


# What an offset may count: from a passage to how much each of its characters counts.
UNITS: dict[str, Callable[[str], Iterable[int]]] = {
    CHARACTERS: lambda passage: [1] * len(passage),
    "bytes of UTF-8": lambda passage: [len(c.encode()) for c in passage],
    "code units of UTF-16": lambda passage: [1 + (c > "\uffff") for c in passage],
    "characters with line breaks of two": _line_breaks_of_two,
    "characters with line breaks of one": _line_breaks_of_one,
    "characters with all white space as single spaces": _single_spaces,
    "characters of Unicode's form NFC": _composed,
    "characters of Unicode's form NFD": lambda passage: [
        len(unicodedata.normalize("NFD", c)) for c in passage
    ],
    FROM_ONE: lambda passage: [1] * len(passage),
}

WHITE_SPACE = "offsets or answers that are off by white space, and mended"
FORM = "answers whose letters are in another form of Unicode than the passage's, which is taken"
MOVED = "wrong offsets of answers that are in their passage just once, and mended"
FIRST = "answers without an offset that are in their passage several times: the first is taken"


@dataclass(frozen=True)
class Span:
    """Part of a passage.

    Attributes:
        start: Its first character.
        end: The character behind its last.
        mended: What was mended, as a phrase for a note; "" if nothing was.
    """

    start: int
    end: int
    mended: str = ""


def locate(passage: str, answer: str, start: int | None, unit: str = CHARACTERS) -> Span | str:
    """Returns where an answer is in its passage.

    Args:
        passage: The passage.
        answer: The answer's text, which is not blank.
        start: Where it is said to start; None if that is not said.
        unit: What `start` most probably counts, one of `UNITS`.

    Returns:
        The span, or what is wrong in a phrase: nobody can tell where the answer is.
    """
    if start is not None:
        if span := standing_at(passage, answer, start, unit):
            return span
        for other in UNITS:
            place = _exactly_at(passage, answer, start, other)
            if place is not None:
                return Span(place, place + len(answer), _turned(other))
    spots = occurrences(passage, answer)
    if not spots:
        return f"the answer {answer!r} is not in the passage"
    if start is None:
        found = passage[slice(*spots[0])]
        differs = _difference(found, answer) if found != answer else ""
        return Span(*spots[0], FIRST if len(spots) > 1 else differs)
    if len(spots) > 1:
        return f"the answer {answer!r} is {len(spots)} times in the passage, but not at {start}"
    return Span(*spots[0], MOVED)


def standing_at(passage: str, answer: str, start: int, unit: str) -> Span | None:
    """Returns the span of an answer that starts at an offset in a unit, if need be behind space.

    White space and Unicode's forms may differ.
    """
    place = _place(passage, start, unit)
    if place is None:
        return None
    turned = _turned(unit) if place != start else ""
    if passage.startswith(answer, place):
        return Span(place, place + len(answer), turned)
    while place < len(passage) and passage[place].isspace():
        place += 1
    bare = answer.strip()
    if passage.startswith(bare, place):
        return Span(place, place + len(bare), turned or WHITE_SPACE)
    folded, _, ends = _folded(passage)
    wanted = _folded(bare)[0]
    first = _first_folded(passage).get(place)
    if first is None or not folded.startswith(wanted, first):
        return None
    end = ends[first + len(wanted) - 1]
    return None if end < 0 else Span(place, end, turned or _difference(passage[place:end], bare))


def occurrences(passage: str, answer: str) -> list[tuple[int, int]]:
    """Returns where an answer is in its passage; parts of words count only if there is no other.

    White space and Unicode's forms may differ if it is nowhere as it is.
    """
    found = [(place, place + len(answer)) for place in _all(passage, answer)]
    if not found:
        folded, starts, ends = _folded(passage)
        wanted = _folded(answer.strip())[0]
        found = [
            (starts[place], ends[place + len(wanted) - 1])
            for place in _all(folded, wanted)
            if starts[place] >= 0 and ends[place + len(wanted) - 1] >= 0
        ]
    return [spot for spot in found if _is_whole(passage, *spot)] or found


def best_unit(answers: Iterable[tuple[str, str, int]]) -> str:
    """Returns what the offsets of a file count: the unit in which most are right.

    Args:
        answers: Passages, answers and their offsets, which are read twice.
    """

    def is_right(one: tuple[str, str, int], unit: str) -> bool:
        return _exactly_at(*one, unit=unit) is not None

    gains = dict.fromkeys(UNITS, 0)
    for one in answers:
        if not is_right(one, CHARACTERS):
            for unit in UNITS:
                gains[unit] += is_right(one, unit)
    unit = max(gains, key=lambda name: gains[name])
    if not gains[unit]:
        return CHARACTERS
    lost = 0
    for one in answers:
        lost += is_right(one, CHARACTERS) and not is_right(one, unit)
        if lost >= gains[unit]:
            return CHARACTERS
    return unit


def _exactly_at(passage: str, answer: str, start: int, unit: str) -> int | None:
    """Returns the character at an offset in a unit if the answer starts there as it is."""
    place = _place(passage, start, unit)
    return place if place is not None and passage.startswith(answer, place) else None


def _turned(unit: str) -> str:
    outcome = "unlike most" if unit == CHARACTERS else "turned into characters"
    return f"offsets in {unit}, {outcome}"


def _difference(found: str, answer: str) -> str:
    return WHITE_SPACE if "".join(found.split()) == "".join(answer.split()) else FORM


def _all(text: str, part: str) -> list[int]:
    """Returns all places of a part in a text; they may overlap."""
    found, place = [], text.find(part)
    while place >= 0:
        found.append(place)
        place = text.find(part, place + 1)
    return found


def _is_whole(passage: str, start: int, end: int) -> bool:
    """Returns whether a span cuts no word in two."""
    borders = (passage[max(0, place - 1) : place + 1] for place in (start, end))
    return not any(len(pair) == 2 and pair[0].isalnum() and pair[1].isalnum() for pair in borders)


def _place(passage: str, start: int, unit: str) -> int | None:
    """Returns the character at an offset in a unit; None if no character starts there."""
    if unit == CHARACTERS:
        return start if 0 <= start < len(passage) else None
    starts = _starts(passage, unit)
    place = bisect_left(starts, start)
    return place if place < len(passage) and starts[place] == start else None


@functools.lru_cache(maxsize=256)
def _starts(passage: str, unit: str) -> list[int]:
    return list(itertools.accumulate(UNITS[unit](passage), initial=int(unit == FROM_ONE)))


@functools.lru_cache(maxsize=256)
def _folded(text: str) -> tuple[str, list[int], list[int]]:
    """Returns a text in NFD with single spaces; and where clusters start and end, elsewhere -1."""
    parts, starts, ends = [], list[int](), list[int]()
    for start, end in _clusters(text):
        part = unicodedata.normalize("NFD", text[start:end])
        part = " " if part.isspace() else part
        parts.append(part)
        starts += [start] + [-1] * (len(part) - 1)
        ends += [-1] * (len(part) - 1) + [end]
    return "".join(parts), starts, ends


@functools.lru_cache(maxsize=256)
def _first_folded(text: str) -> dict[int, int]:
    return {start: place for place, start in enumerate(_folded(text)[1]) if start >= 0}


def _clusters(text: str) -> list[tuple[int, int]]:
    """Returns the starts and ends of white space, and of letters with the marks on them."""
    starts = [
        place
        for place, (before, own) in enumerate(zip("\0" + text, text, strict=False))
        if not place or not (_is_mark(own) or (own.isspace() and before.isspace()))
    ]
    return list(itertools.pairwise([*starts, len(text)])) if text else []


def _is_mark(letter: str) -> bool:
    return bool(unicodedata.combining(letter)) or _JAMO[0] <= letter <= _JAMO[1]
