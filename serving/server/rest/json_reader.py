"""A JSON parser with TensorFlow Serving's rules, which are RapidJSON's.

Errors and their offsets are RapidJSON's, and lists may be nested to any depth. A valid document is
parsed by Python's own parser in C; only one that it rejects is parsed again, step by step, to
accept what only RapidJSON accepts, or to name the error. What is plain in it goes through Python's
parser even then. As in TensorFlow Serving, text after the document is ignored, and bytes that are
not UTF-8 pass through strings unchanged.

Counterparts: tensorflow_serving/util/json_tensor.cc; RapidJSON 1.1.0's reader.h (its iterative
parser) and error/en.h.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import grpc

from serving.errors import ServingError
from serving.server.rest.json_plain import PLAIN_CHARACTERS, PLAIN_ITEMS

_WHITESPACE = " \t\r\n"
_MAX_UINT64 = 2**64 - 1
_MIN_INT64 = -(2**63)
# Half of a surrogate pair, written as an escape.
_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_SPACES = re.compile(rb"[ \t\r\n]*")
_OPENINGS = re.compile(rb"(?:\[[ \t\r\n]*+(?!\]))++")  # Without that of an empty list.
_INTEGER = re.compile(rb"0|[1-9][0-9]*")
_DIGITS = re.compile(rb"[0-9]+")
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_ESCAPED = {ord(name): value for name, value in zip('"/\\bfnrt', b'"/\\\b\f\n\r\t', strict=True)}


class Constant(float):
    """NaN or an infinity written as such, not a number too large for a double."""


class Repeated(dict):
    """An object with repeated keys: look-ups find the first.

    Attributes:
        pairs: All keys with their values, in order.
    """

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(reversed(pairs))
        self.pairs = pairs


def members(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """Returns the keys of an object with their values, including repeated ones."""
    return value.pairs if isinstance(value, Repeated) else list(value.items())


def read(body: bytes) -> Any:
    """Parses a document into Python's types.

    Numbers too large for a double become infinite floats; `read_exactly` rejects them.

    Raises:
        ServingError: INVALID_ARGUMENT with RapidJSON's text and the offset in bytes.
    """
    if not body:
        raise _parse_error("The document is empty")
    try:
        text = decoded(body).removeprefix("\ufeff").lstrip(_WHITESPACE)
        # Python's parser would accept the start of a number as the document and ignore the rest.
        structured = text.startswith(("{", "["))
        if structured and ("\\u" not in text or not _LONE_SURROGATE.search(text)):
            return _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError):  # Also an integer of thousands of digits.
        pass
    return read_exactly(body)


def read_exactly(body: bytes) -> Any:
    """Parses a document by RapidJSON's own rules; slower.

    Raises:
        ServingError: INVALID_ARGUMENT with RapidJSON's text and the offset in bytes.
    """
    return _Reader(body).document()


def number(value: Any) -> Any:
    """Returns a value; an integer beyond 64 bits becomes a double, as in RapidJSON."""
    if type(value) is not int or _MIN_INT64 <= value <= _MAX_UINT64:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf


def decoded(content: bytes) -> str:
    """Returns bytes as text, which `json_writer.encoded` reverts."""
    return content.decode("utf-8", "surrogateescape")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeated(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=Constant)


def _parse_error(text: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"JSON Parse error: {text}")


@dataclass
class _OpenObject:
    """An object of which more is to come; `key` is that of the next value."""

    pairs: list[tuple[str, Any]] = field(default_factory=list)
    key: str = ""


class _Reader:
    """A parser with RapidJSON's rules, without recursion."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0
        for byte in (b"\xef", b"\xbb", b"\xbf"):
            self._take(byte)

    def document(self) -> Any:
        self._match(_SPACES)
        if self._peek() in (b"", b"\0", b"]", b"}", b",", b":"):
            raise self._error("The document is empty.")
        around: list[list[Any] | _OpenObject] = []
        while True:
            if openings := self._match(_OPENINGS):
                around.extend([] for _ in range(openings.count(b"[")))
                self._before_value(around[-1])
                continue
            if self._peek() == b"[":
                value = self._empty(b"]", [])
            elif self._peek() != b"{":
                value = self._scalar()
            elif (value := self._empty(b"}", {})) is None:
                around.append(_OpenObject())
                self._before_value(around[-1])
                continue
            while around:
                if self._continues(around[-1], value):
                    self._before_value(around[-1])
                    break
                ended = around.pop()
                value = ended if isinstance(ended, list) else _object(ended.pairs)
            else:
                return value

    def _empty(self, end: bytes, value: Any) -> Any:
        """Passes over an opening bracket; returns `value` if the closing one follows at once."""
        self._step()
        return value if self._take(end) else None

    def _continues(self, around: list[Any] | _OpenObject, value: Any) -> bool:
        """Adds a value to a list or object; returns whether another one follows."""
        listed = isinstance(around, list)
        if isinstance(around, list):
            around.append(value)
        else:
            around.pairs.append((around.key, value))
        self._match(_SPACES)
        if self._take(b"]" if listed else b"}"):
            return False
        if self._peek() != b",":
            what = "']' after an array element" if listed else "'}' after an object member"
            raise self._error(f"Missing a comma or {what}.")
        self._step()
        return True

    def _before_value(self, around: list[Any] | _OpenObject) -> None:
        """Reads what precedes a value: plain items with their commas, or a key with its colon."""
        if isinstance(around, list):
            if items := decoded(self._match(PLAIN_ITEMS)).rstrip(_WHITESPACE).removesuffix(","):
                around.extend(_DECODER.decode(f"[{items}]"))
            return
        if self._peek() != b'"':
            raise self._error("Missing a name for object member.")
        around.key = self._string()
        self._match(_SPACES)
        if self._peek() != b":":
            raise self._error("Missing a colon after a name of object member.")
        self._step()

    def _scalar(self) -> Any:
        first = self._peek()
        if first == b'"':
            return self._string()
        for word, value in ((b"null", None), (b"true", True), (b"false", False)):
            if first == word[:1]:
                self._expect(word)
                return value
        return self._number()

    def _number(self) -> int | float:
        start = self._at
        sign = -1 if self._take(b"-") else 1
        if self._take(b"N"):
            self._expect(b"aN")
            return Constant(math.nan)
        if self._take(b"I"):
            self._expect(b"nf")
            if self._peek() == b"i":
                self._expect(b"inity")
            return Constant(sign * math.inf)
        if not self._match(_INTEGER):
            raise self._error("Invalid value.")
        whole = True
        if self._take(b"."):
            whole = False
            if not self._match(_DIGITS):
                raise self._error("Miss fraction part in number.")
        if self._take(b"e") or self._take(b"E"):
            whole = False
            if not self._take(b"+"):
                self._take(b"-")
            if not self._match(_DIGITS):
                raise self._error("Miss exponent in number.")
        text = self._body[start : self._at]
        if whole and len(text) <= len(str(_MAX_UINT64)):
            return number(int(text))
        if math.isinf(float(text)):
            raise self._error("Number too big to be stored in double.", start)
        return float(text)

    def _string(self) -> str:
        self._at += 1
        pieces = []
        while True:
            pieces.append(_DECODER.decode(f'"{decoded(self._match(PLAIN_CHARACTERS))}"'))
            if self._take(b'"'):
                return "".join(pieces)
            if self._peek() == b"\\":
                pieces.append(decoded(self._escape()))
            elif self._peek() in (b"", b"\0"):
                raise self._error("Missing a closing quotation mark in string.")
            else:  # A control character.
                raise self._error("Invalid escape character in string.")

    def _escape(self) -> bytes:
        start = self._at
        self._at += 1
        name = self._peek()
        self._at += 1
        if name and name[0] in _ESCAPED:
            return bytes([_ESCAPED[name[0]]])
        if name != b"u":
            raise self._error("Invalid escape character in string.", start)
        code = self._hex(start)
        if 0xD800 <= code < 0xDC00:
            low = self._hex(start) if self._take(b"\\u") else 0
            if not 0xDC00 <= low < 0xE000:
                raise self._error("The surrogate pair in string is invalid.", start)
            code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00))
        return chr(code).encode("utf-8", "surrogatepass")

    def _hex(self, start: int) -> int:
        digits = self._match(_HEX)
        if not digits:
            raise self._error("Incorrect hex digit after \\u escape in string.", start)
        return int(digits, 16)

    def _peek(self) -> bytes:
        return self._body[self._at : self._at + 1]

    def _step(self) -> None:
        """Skips one byte and the white space after it."""
        self._at += 1
        self._match(_SPACES)

    def _take(self, text: bytes) -> bool:
        found = self._body.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _expect(self, text: bytes) -> None:
        for index in range(len(text)):
            if not self._take(text[index : index + 1]):
                raise self._error("Invalid value.")

    def _match(self, pattern: re.Pattern[bytes]) -> bytes:
        found = pattern.match(self._body, self._at)
        self._at = found.end() if found else self._at
        return found.group() if found else b""

    def _error(self, text: str, at: int | None = None) -> ServingError:
        return _parse_error(f"{text} at offset: {self._at if at is None else at}")
