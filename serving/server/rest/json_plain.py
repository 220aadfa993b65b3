"""Expressions of the JSON that Python's parser and RapidJSON's certainly read alike.

What they match is parsed in C, also in a document that Python's parser rejects. The numbers in it
are neither too large for 64 bits nor for a double. All repetitions are possessive: a match takes
linear time, and no memory.
"""

from __future__ import annotations

import re

_SPACES = r"[ \t\r\n]*+"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]{1,2}+)?+"
# Without half a surrogate pair.
_CHARACTERS = (
    r'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+"
)
_STRING = f'"{_CHARACTERS}"'
_SCALAR = f"{_NUMBER}|{_STRING}|true|false|null|NaN|-?Infinity"
# Batches of images are lists of four dimensions, of which the first is read item by item.
_MAX_DEPTH = 3


def _value(depth: int) -> str:
    """Returns the expression of a value with at most this many lists and objects in one another."""
    if depth == 0:
        return _SCALAR
    item = rf"(?:{_value(depth - 1)}){_SPACES}(?:,{_SPACES}(?![\]}}])|(?=[\]}}]))"
    return (
        rf"{_SCALAR}|\[{_SPACES}(?:{item})*+\]"
        rf"|\{{{_SPACES}(?:{_STRING}{_SPACES}:{_SPACES}{item})*+\}}"
    )


PLAIN_CHARACTERS = re.compile(_CHARACTERS.encode())
"""Characters of a string, with their escapes."""

PLAIN_ITEMS = re.compile(rf"(?:(?:{_value(_MAX_DEPTH)}){_SPACES},{_SPACES})++".encode())
"""Items of a list, each with the comma after it."""
