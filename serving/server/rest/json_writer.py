"""Arrays and texts as JSON.

Floats have the fewest digits that read back as the same float of their type. NaN, infinities and
texts that are not UTF-8 stand as they do in TensorFlow Serving's JSON: bare, and byte by byte.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

_BARE = {
    name: orjson.Fragment(text)
    for name, text in (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity"))
}


def written(value: Any) -> bytes:
    """Returns the JSON of dictionaries and lists, and of what the functions below return."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def numbers(array: np.ndarray) -> Any:
    """Returns booleans, integers, float32 or float64 as `written` takes them."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        values = [v if np.isfinite(v) else _BARE[str(float(v))] for v in array.ravel()]
        return _nested(values, array.shape)
    if not array.size:
        return array.tolist()
    return np.ascontiguousarray(array) if array.ndim else array[()]


def text(content: bytes) -> Any:
    """Returns bytes as a text, as `written` takes it."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        quoted = json.dumps(content.decode("utf-8", "surrogateescape"), ensure_ascii=False)
        return orjson.Fragment(quoted.encode("utf-8", "surrogateescape"))


def texts(array: np.ndarray) -> Any:
    """Returns bytes as texts, as `written` takes them."""
    return _nested([text(value) for value in array.flat], array.shape)


def encoded(array: np.ndarray) -> Any:
    """Returns bytes as {"b64": text}."""
    values = [{"b64": base64.b64encode(value).decode()} for value in array.flat]
    return _nested(values, array.shape)


def _nested(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects.reshape(shape).tolist()
