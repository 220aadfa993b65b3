"""JSON objects, one a line or in one array; numbers are the texts that stand in the file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.datasets import encodings
from pipelines.errors import UserError

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def read(path: Path, config: Config) -> tuple[Iterator[tuple[dict[str, Any], int]], list[str]]:
    """Reads a JSON object a line, or one array of objects.

    Numbers and booleans become the texts that stand in the file; NaN, which pandas writes for a
    missing value, becomes None, as null does.

    Returns:
        The objects, each with the line at which it starts, as they are read; and notes.

    Raises:
        UserError: The file cannot be read; and, as the objects are read, a line, or what is in
            the array, is no JSON object.
    """
    file = encodings.opened(path, config.encoding)
    return _objects(path, file), list(file.notes)


def _objects(path: Path, file: Iterable[str]) -> Iterator[tuple[dict[str, Any], int]]:
    # Within JSON a "\r" is always one between values or lines.
    lines = (part for line in file for part in re.findall(_LINE, line.replace("\r", "\n")))
    start = list(_until_text(lines))
    if start and start[-1].lstrip()[:1] == "[":
        values = _array(path, "".join([*start, *lines]))
    else:
        values = _lines(path, chain(start, lines))
    for value, line in values:
        if not isinstance(value, dict):
            shown = value if isinstance(value, str) else json.dumps(value)
            raise UserError(f"{path}, line {line}: a JSON object is needed, not {shown[:40]}")
        row = {str(key): as_texts(own) for key, own in value.items()}
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{path}, line {line}: half of a character, "
                f"\\u{ord(error.object[error.start]):04x}, stands alone"
            ) from error
        yield row, line


def as_texts(value: Any) -> Any:
    """Returns a value, or the values in it, as text; nothing stays nothing."""
    if isinstance(value, list):
        return [as_texts(one) for one in value]
    if isinstance(value, dict):
        return {name: as_texts(one) for name, one in value.items()}
    if value is None or value != value:  # NaN is not equal to itself.
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, bytes) else str(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object, each of whose names may occur once."""
    counts = Counter(name for name, _ in pairs)
    if twice := [name for name, number in counts.items() if number > 1]:
        raise ValueError(f"{min(twice)!r} has two values")
    return dict(pairs)


_DECODER = json.JSONDecoder(
    parse_int=str,
    parse_float=str,
    parse_constant=lambda constant: None if constant == "NaN" else constant,
    object_pairs_hook=_once,
)


def _until_text(lines: Iterable[str]) -> Iterator[str]:
    """Yields the first lines up to one that is not blank."""
    for line in lines:
        yield line
        if line.strip():
            return


def _lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[Any, int]]:
    """Yields the JSON value of each line that is not blank, and the line's number."""
    for number, whole in enumerate(lines, 1):
        line = whole.removesuffix("\n")
        if line.strip():
            try:
                value = _DECODER.decode(line)
            except ValueError as error:
                raise UserError(f"{path}, line {number}: not JSON: {_reason(error)}") from error
            yield value, number


def _array(path: Path, text: str) -> Iterator[tuple[Any, int]]:
    """Yields the values of a JSON array, each with the line at which it starts."""
    place, line, counted = _behind_space(text, text.index("[") + 1), 1, 0
    while text[place : place + 1] != "]":
        line += text.count("\n", counted, place)
        counted = place
        try:
            value, place = _DECODER.raw_decode(text, place)
        except ValueError as error:
            found = getattr(error, "lineno", line)
            raise UserError(f"{path}, line {found}: not JSON: {_reason(error)}") from error
        yield value, line
        place = _behind_space(text, place)
        if text[place : place + 1] == ",":
            place = _behind_space(text, place + 1)
        elif text[place : place + 1] != "]":
            break
    if text[place : place + 1] != "]" or text[place + 1 :].strip():
        line += text.count("\n", counted, place)
        raise UserError(f"{path}, line {line}: not JSON: the array has no end, or text behind it")


def _behind_space(text: str, place: int) -> int:
    while text[place : place + 1] in (" ", "\t", "\n"):
        place += 1
    return place


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return str(error)
