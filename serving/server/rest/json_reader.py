"""JSON documents, as TensorFlow Serving reads them.

simdjson reads what is valid; RapidJSON, TensorFlow Serving's own parser, accepts bare NaN and
infinities as well, and has its texts of errors. Of repeated keys the last counts, and text after
the document is ignored. A number beyond a double is an error, as are bytes that are not UTF-8, and
lists and objects nested a thousand deep.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

import grpc
import numpy as np
import rapidjson
import simdjson

from serving.errors import ServingError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ERROR = re.compile(r"Parse error at offset (?P<at>\d+): (?P<text>.*)", re.DOTALL)
_SURPLUS = "The document root must not be followed by other values."
_SHOWN_CHARACTERS = 256


def read(body: bytes) -> Any:
    """Parses a document into Python's types.

    Raises:
        ServingError: INVALID_ARGUMENT with RapidJSON's text and the offset in bytes.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if not body:
        raise _parse_error("The document is empty")
    with contextlib.suppress(ValueError, RuntimeError):
        return simdjson.Parser().parse(body, True)
    try:
        return rapidjson.loads(body, number_mode=rapidjson.NM_NAN)
    except UnicodeDecodeError as error:
        text, at = "Invalid encoding in string.", error.start
    except (ValueError, RecursionError) as error:
        found = _ERROR.fullmatch(str(error))
        text, at = (found["text"], int(found["at"])) if found else (str(error), 0)
    if text == _SURPLUS:
        return read(body[:at])
    raise _parse_error(f"{text} at offset: {at}")


def kind(value: Any) -> str:
    """Returns the name of a value's JSON type as in error texts."""
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names.get(type(value), "Null")


def shown(value: Any) -> str:
    """Returns the start of a value as in error texts: indented, but lists on one line."""
    try:
        text = rapidjson.dumps(
            value,
            default=np.ndarray.tolist,
            ensure_ascii=False,
            indent=4,
            number_mode=rapidjson.NM_NAN,
            write_mode=rapidjson.WM_SINGLE_LINE_ARRAY,
        )
    except RecursionError:
        text = kind(value)
    return text[:_SHOWN_CHARACTERS]


def invalid(text: str) -> ServingError:
    """Returns an INVALID_ARGUMENT."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)


def misshapen(value: Any, text: str) -> ServingError:
    """Returns an INVALID_ARGUMENT that quotes the JSON value."""
    return invalid(f"JSON Value: {shown(value)} {text}")


def _parse_error(text: str) -> ServingError:
    return invalid(f"JSON Parse error: {text}")
