"""A JSON writer with TensorFlow Serving's layout: RapidJSON's PrettyWriter with four spaces.

Counterparts: tensorflow_serving/util/json_tensor.cc; RapidJSON's prettywriter.h and
internal/dtoa.h.
"""

from __future__ import annotations

import contextlib
import decimal
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.server.rest.json_reader import decoded, members, number

_ESCAPES = {code: f"\\u{code:04X}" for code in range(32)} | {
    ord(plain): f"\\{name}" for plain, name in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)
}
_INDENT = "    "
_SHOWN_BYTES = 256


def kind(value: Any) -> str:
    """Returns the name of a value's JSON type as in error texts."""
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return next((name for type_, name in names.items() if isinstance(value, type_)), "Null")


def shown(value: Any) -> str:
    """Returns a value as in error texts: lists on one line, and cut once it has 256 bytes.

    A string is never cut. As RapidJSON writes no NaN and no infinity, a text ends before these.
    """
    out = bytearray()
    with contextlib.suppress(_EndOfTextError):
        _show(value, "", "\n", out)
    return decoded(bytes(out))


def quoted(text: str) -> str:
    """Returns a JSON string."""
    return f'"{text.translate(_ESCAPES)}"'


def decimals(numbers: np.ndarray) -> list[str]:
    """Returns floats as texts that parse to the same floats.

    They have six digits where these are enough, else 9 for float32 and 17 for float64. A whole
    number ends in ".0" unless it has an exponent.

    Args:
        numbers: float32 or float64 [n].
    """
    full = "%.9g" if numbers.dtype == np.float32 else "%.17g"
    short = _perhaps_short(numbers)
    values = numbers[short]
    texts = np.array(_formatted("%.6g", values), object)
    with np.errstate(over="ignore"):
        same = np.array(list(map(float, texts)), np.float64).astype(numbers.dtype) == values
    for index in np.flatnonzero(~same & np.isfinite(values)).tolist():
        texts[index] = full % values[index]
    for index in np.flatnonzero(~np.isfinite(values)).tolist():
        texts[index] = _constant(values[index])
    cells = np.empty(len(numbers), object)
    cells[short], cells[~short] = texts, _formatted(full, numbers[~short])
    for index in np.flatnonzero(np.isfinite(numbers) & (numbers == np.trunc(numbers))).tolist():
        if "e" not in cells[index]:
            cells[index] += ".0"
    return cells.tolist()


def nested(
    cells: Sequence[str],
    shape: Sequence[int],
    level: int,
    *,
    count: int = 1,
    single_line: bool = False,
) -> list[str]:
    """Returns arrays as nested lists.

    Args:
        cells: The text of each value, in row-major order, one array after the other.
        shape: The shape of each array.
        level: Number of lists and objects around an array.
        count: Number of arrays.
        single_line: Whether a list is written in one line, instead of one value per line.

    Returns:
        The text of each array.
    """
    texts = list(cells)
    for axis in reversed(range(len(shape))):
        size = shape[axis]
        if size == 0:
            texts = ["[]"] * (count * math.prod(shape[:axis]))
            continue
        inner, outer = (f"\n{_INDENT * (level + axis + more)}" for more in (1, 0))
        if single_line:
            start, comma, end = "[", ", ", "]"
        else:
            start, comma, end = f"[{inner}", f",{inner}", f"{outer}]"
        texts = [
            start + comma.join(texts[first : first + size]) + end
            for first in range(0, len(texts), size)
        ]
    return texts


def object_of(pairs: Sequence[tuple[str, str]], level: int) -> str:
    """Returns an object, one member per line, from keys and the texts of their values."""
    inner = f"\n{_INDENT * (level + 1)}"
    lines = f",{inner}".join(f"{quoted(key)}: {text}" for key, text in pairs)
    return f"{{{inner}{lines}\n{_INDENT * level}}}"


def encoded(text: str) -> bytes:
    """Returns a text as bytes; bytes that were not UTF-8 come back as they were."""
    return text.encode("utf-8", "surrogateescape")


def _formatted(pattern: str, numbers: np.ndarray) -> list[str]:
    values = tuple(numbers.tolist())
    return (" ".join([pattern] * len(values)) % values).split()


def _perhaps_short(numbers: np.ndarray) -> np.ndarray:
    """Returns a mask of the floats that may have six digits; the others certainly need more."""
    magnitude = np.abs(numbers.astype(np.float64))
    with np.errstate(all="ignore"):
        scale = 10.0 ** (5 - np.floor(np.log10(magnitude)))
        off = np.abs(np.round(magnitude * scale) / scale - magnitude)
        limits = np.finfo(numbers.dtype)
        return ~(off > magnitude * 16 * limits.eps) | (magnitude < limits.tiny)


def _constant(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


class _EndOfTextError(Exception):
    """Nothing more is shown."""


def _show(value: Any, before: str, line: str, out: bytearray) -> None:
    """Appends a value, after the text before it; `line` is a line feed with the current indent."""
    value = number(value)
    inner = line + _INDENT
    if isinstance(value, dict):
        _put(f"{before}{{", out)
        for index, (key, item) in enumerate(members(value)):
            _put(f"{',' if index else ''}{inner}{quoted(key)}", out)
            _show(item, ": ", inner, out)
        _put(f"{line}}}" if value else "}", out)
    elif isinstance(value, list):
        _put(f"{before}[", out)
        for index, item in enumerate(value):
            _show(item, ", " if index else "", inner, out)
        _put("]", out)
    elif isinstance(value, str):
        _put(f"{before}{quoted(value)}", out)
    elif not isinstance(value, float):
        _put(f"{before}{json.dumps(value)}", out)
    elif math.isfinite(value):
        _put(f"{before}{_double(value)}", out)
    else:
        _put(before, out)
        raise _EndOfTextError


def _put(text: str, out: bytearray) -> None:
    if len(out) >= _SHOWN_BYTES:
        raise _EndOfTextError
    out += encoded(text)


def _double(value: float) -> str:
    """Returns the shortest text of a finite double in RapidJSON's layout."""
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return f"{sign}0.0"
    parts = decimal.Decimal(repr(abs(value))).normalize().as_tuple()
    digits = "".join(map(str, parts.digits))
    point = len(digits) + int(parts.exponent)
    if 0 < point <= 21:
        whole = digits[:point].ljust(point, "0")
        return f"{sign}{whole}.{digits[point:] or '0'}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1}"
