"""Numbers as they stand in tables: with decimal point or comma, with or without thousands marks."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

MARKS = (".", ",")
_MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "–", "—", ".", "?"}
_LONG = 10
_INFINITE = re.compile(r"([+-]?)(?:inf|infinity|∞)", re.IGNORECASE)
# What separates thousands, apart from the mark that is not the decimal mark: spaces of several
# kinds, and apostrophes.
_SPACES = " '\u00a0\u2009\u202f\u2019"


def _pattern(decimal: str) -> re.Pattern[str]:
    other = "," if decimal == "." else "."
    point = re.escape(decimal)
    return re.compile(
        rf"(?P<sign>[+\-−]?)(?:"
        rf"(?P<grouped>[1-9][0-9]{{0,2}}(?P<mark>[{other}{_SPACES}])[0-9]{{3}}"
        rf"(?:(?P=mark)[0-9]{{3}})*(?:{point}[0-9]*)?)"
        rf"|(?P<plain>(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?))"
    )


# What numbers consist of that Python reads as they are, but for the decimal mark.
_PLAIN = {mark: {*"0123456789+-eE", mark} for mark in MARKS}
_DIGITS = str.maketrans("123456789", "0" * 9)
_SIMPLE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_PATTERNS = {mark: _pattern(mark) for mark in MARKS}


def is_missing(text: str) -> bool:
    """Returns whether a text stands for no value, as "", "NA" or "-"."""
    return len(text) < _LONG and text.strip().lower() in _MISSING


def value(text: str, decimal: str) -> float | None:
    """Returns the number that a text is, or none if it is none.

    Args:
        text: The text; "1e5" and "inf" are numbers, "1_000" and "0x1f" are not.
        decimal: The decimal mark, "." or ",". The other one may separate thousands.
    """
    if decimal == "." and _SIMPLE.fullmatch(text):  # Most numbers are.
        return float(text)
    text = text.strip()
    if match := _PATTERNS[decimal].fullmatch(text):
        digits = match["plain"] or match["grouped"].replace(match["mark"], "")
        number = float(digits.replace(decimal, "."))
        return -number if match["sign"] in ("-", "−") else number
    if match := _INFINITE.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    return None


def values(texts: Sequence[str], decimal: str) -> np.ndarray | None:
    """Returns the numbers that texts are, float64 [texts], NaN for missing ones.

    Returns none if a text is neither.
    """
    if set("".join(texts)) <= _PLAIN[decimal]:
        with contextlib.suppress(ValueError):  # "1-2" is none, and "-" is missing.
            plain = texts if decimal == "." else [text.replace(decimal, ".") for text in texts]
            return np.array([float(text) if text else math.nan for text in plain], np.float64)
    found = [math.nan if is_missing(text) else value(text, decimal) for text in texts]
    return None if None in found else np.array(found, np.float64)


def of_each_shape(texts: Iterable[str]) -> list[str]:
    """Returns the first of texts that differ in digits alone, in their order.

    Whether a text is a number, and with which marks, does not depend on its digits, but for a zero
    before all others.
    """
    shapes: dict[tuple[bool, str], str] = {}
    for text in texts:
        zero = text.lstrip("+-−")[:1] == "0"
        shapes.setdefault((zero, text.translate(_DIGITS)), text)
    return list(shapes.values())


def is_number(text: str) -> bool:
    """Returns whether a text is a number with either decimal mark."""
    return any(value(text, mark) is not None for mark in MARKS)


def has_thousands(text: str, decimal: str) -> bool:
    """Returns whether a number has marks between its thousands."""
    match = _PATTERNS[decimal].fullmatch(text.strip())
    return bool(match and match["grouped"])


def placeholder(values: np.ndarray) -> float | None:
    """Returns a number of nines far away from all others, as -9999, which may mean "missing"."""
    known = values[~np.isnan(values)]
    for extreme in (known.min(initial=0), known.max(initial=0)):
        others = known[known != extreme]
        digits = f"{abs(extreme):.10g}".replace(".", "")
        if len(others) and len(digits) > 1 and set(digits) == {"9"}:
            far = max(others.min() - extreme, extreme - others.max())
            if far > np.ptp(others) and far > abs(others).max():
                return float(extreme)
    return None


def may_be_thousands(text: str) -> bool:
    """Returns whether the one mark of a number may be that of thousands, as in "12.355"."""
    return all(value(text, mark) is not None for mark in MARKS)


def decimal_mark(texts: Sequence[str], separator: str) -> str:
    """Returns the decimal mark of numbers.

    A number such as "12,355" may be 12.355 or twelve thousand. If all numbers with a mark are so,
    they are decimals if each number has the mark, as programs write that round to three digits,
    and the mark is usual beside the separator: "12.355" beside commas, "12,355" beside semicolons.

    Args:
        texts: Numbers, each with either decimal mark.
        separator: The field separator of the table, "" if it has none.

    Returns:
        ".", "," or, if both are possible, ""; "?" if neither fits all of them.
    """
    marked = [text.strip() for text in texts if "." in text or "," in text]
    fitting = [mark for mark in MARKS if all(value(text, mark) is not None for text in marked)]
    if not fitting:
        return "?"
    if len(fitting) == 1 or not marked:
        return fitting[0]
    marks = {mark for mark in MARKS if any(mark in text for text in marked)}
    if len(marks) > 1:
        return ""
    (mark,) = marks
    if mark == "." and separator in (",", ""):
        return "."  # As programs write numbers, and people where the separator is a comma.
    unmarked = [text for text in texts if "." not in text and "," not in text]
    if any(len(re.sub("[^0-9]", "", text)) > 3 for text in unmarked):
        return mark  # Thousands would be marked here too.
    # Semicolons mostly come from where a comma is the decimal mark, and "." separates thousands.
    usual = separator in ((";", "\t", "|") if mark == "," else ("\t", "|"))
    return mark if usual and not unmarked else ""
