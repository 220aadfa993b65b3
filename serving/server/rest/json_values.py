"""JSON values to arrays.

Nested lists are converted as a whole. Only if something does not fit, the values are checked one by
one, which finds the first error, with TensorFlow Serving's text.

Counterpart: tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2

from serving.errors import ServingError
from serving.server.rest import json_reader, json_writer

# NumPy's type of each dtype that REST supports; strings are objects.
TYPES: dict[int, type] = {
    types_pb2.DT_FLOAT: np.float32,
    types_pb2.DT_DOUBLE: np.float64,
    types_pb2.DT_INT8: np.int8,
    types_pb2.DT_INT16: np.int16,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT8: np.uint8,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
    types_pb2.DT_BOOL: np.bool_,
    types_pb2.DT_STRING: np.object_,
}
# Small integers are read as int32 and then truncated to their type: 300 is a uint8 of 44.
_READ_AS_INT32 = (np.int8, np.int16, np.uint8)
# NumPy's maximum rank; TensorFlow's is 254.
_MAX_RANK = 64
_BASE64 = re.compile(r"[A-Za-z0-9+/]*")


class TooBigError(Exception):
    """A number of the document is too large for a double."""


def dense(value: Any, dtype: int) -> np.ndarray | None:
    """Returns the array of a nested list, or None if its values must be checked one by one."""
    leaves, shape = [value], []
    while leaves and type(leaves[0]) is list:
        if set(map(type, leaves)) != {list} or len(set(map(len, leaves))) != 1:
            return None
        shape.append(len(leaves[0]))
        leaves = list(chain.from_iterable(leaves))
    if len(shape) > _MAX_RANK:
        return None
    if TYPES.get(dtype) is np.object_ and dict in set(map(type, leaves)):
        try:
            leaves = [decode_base64(each) if type(each) is dict else each for each in leaves]
        except ServingError:
            return None
    return packed(leaves, dtype).reshape(shape) if _regular(leaves, dtype) else None


def leading(
    items: Sequence[Any], convert: Callable[[Sequence[Any]], Mapping[str, np.ndarray] | None]
) -> tuple[int, dict[str, list[np.ndarray]]]:
    """Converts the first items that fit together, by halving what is left of them.

    It takes the time of one conversion of all.

    Args:
        items: Items of which some do not fit.
        convert: From some of them to arrays by name, with an entry for each item; None if they do
            not fit together.

    Returns:
        The number of items before the first that does not fit, and their arrays in parts by name.
    """
    count, end = 0, len(items)
    parts: dict[str, list[np.ndarray]] = {}
    while end - count > 1:
        middle = (count + end) // 2
        arrays = convert(items[count:middle])
        if arrays is None or any(
            parts[name][0].shape[1:] != array.shape[1:]
            for name, array in arrays.items()
            if name in parts
        ):
            end = middle
            continue
        count = middle
        for name, array in arrays.items():
            parts.setdefault(name, []).append(array)
    return count, parts


def _regular(leaves: list[Any], dtype: int) -> bool:
    """Whether every value certainly has the dtype."""
    kinds, numpy_type = set(map(type, leaves)), TYPES.get(dtype)
    if not leaves:
        return True
    if numpy_type is None:
        return False
    if numpy_type is np.object_:
        return kinds <= {str, bytes}
    if numpy_type is np.bool_:
        return kinds == {bool}
    if issubclass(numpy_type, np.integer):
        whole_limits = _limits(numpy_type)
        return (
            kinds == {int} and whole_limits.min <= min(leaves) and max(leaves) <= whole_limits.max
        )
    if not kinds <= {int, float, json_reader.Constant}:
        return False
    try:
        infinite = np.flatnonzero(np.isinf(np.array(leaves, np.float64)))
    except OverflowError:
        return False
    # Any other infinity is a number beyond a double's range.
    return all(type(leaves[index]) is json_reader.Constant for index in infinite.tolist())


def packed(values: list[Any], dtype: int) -> np.ndarray:
    """Returns values of one dtype as a one-dimensional array."""
    numpy_type = TYPES.get(dtype, np.float32)  # Other dtypes have only empty arrays.
    if numpy_type is np.object_:
        array = np.empty(len(values), np.object_)
        array[:] = [
            each if isinstance(each, bytes) else json_writer.encoded(each) for each in values
        ]
        return array
    if issubclass(numpy_type, np.floating):
        with np.errstate(over="ignore"):  # What is beyond the type's range becomes infinite.
            return np.array(values, np.float64).astype(numpy_type)
    return np.array(values, np.int64 if numpy_type in _READ_AS_INT32 else numpy_type).astype(
        numpy_type
    )


def shape_of(value: Any, alias: str) -> tuple[int, ...]:
    """Returns the shape given by the first value at each level."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    if len(shape) >= _MAX_RANK:
        raise invalid(f"tensor parsing error: {alias}")
    return tuple(shape)


def collect(value: Any, level: int, shape: Sequence[int], dtype: int, values: list[Any]) -> None:
    """Appends the values of a nested list, or raises at the first that does not fit."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise misshapen(
                value,
                f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}",
            )
        values.append(_element(value, dtype))
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )

    def convert(items: Sequence[Any]) -> dict[str, np.ndarray] | None:
        array = dense(items, dtype)
        fits = array is not None and array.shape[1:] == tuple(shape[level + 1 :])
        return {"": array} if array is not None and fits else None

    count, parts = leading(value, convert)
    for array in parts.get("", ()):
        values += array.ravel().tolist()
    for item in value[count:]:
        collect(item, level + 1, shape, dtype, values)


def _element(value: Any, dtype: int) -> Any:
    numpy_type = TYPES.get(dtype)
    if numpy_type is np.object_:
        if isinstance(value, str):
            return json_writer.encoded(value)
        if isinstance(value, dict):
            return decode_base64(value)
    elif numpy_type is np.bool_:
        if isinstance(value, bool):
            return value
    elif numpy_type is None:
        if not isinstance(value, dict):
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"Conversion of JSON Value: {json_writer.shown(value)} "
                f"to type: {dtype_name(dtype)}",
            )
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if issubclass(numpy_type, np.floating):
            return to_float(value)
        limits = _limits(numpy_type)
        if type(value) is int and limits.min <= value <= limits.max:
            return value
    raise misshapen(
        _checked(value),
        f"Type: {json_writer.kind(value)} is not of expected type: {dtype_name(dtype)}",
    )


def _checked(value: Any) -> Any:
    """Returns a value, or raises if it is a number beyond a double's range."""
    try:
        infinite = type(value) in (int, float) and math.isinf(value)
    except OverflowError:
        infinite = True
    if infinite:
        raise TooBigError
    return value


def _limits(numpy_type: type) -> np.iinfo:
    return np.iinfo(np.int32 if numpy_type in _READ_AS_INT32 else numpy_type)


def decode_base64(value: dict[str, Any]) -> bytes:
    """Returns the bytes of {"b64": text}.

    As in Abseil, white space is allowed anywhere, and padding may be missing.
    """
    if not is_base64(value):
        raise misshapen(value, "not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError:  # Strict rules reject some texts that Abseil accepts.
        text = re.sub(r"[ \t\n\v\f\r]", "", value["b64"])
    digits = text.rstrip("=.")
    missing = -len(digits) % 4
    if not _BASE64.fullmatch(digits) or missing == 3 or len(text) - len(digits) not in (0, missing):
        raise invalid("Unable to base64 decode")
    return base64.b64decode(digits + "=" * missing)


def is_base64(value: Any) -> bool:
    """Whether a value is an object with the only key "b64" and a string as its value."""
    return (
        isinstance(value, dict)
        and len(json_reader.members(value)) == 1
        and isinstance(value.get("b64"), str)
    )


def to_float(value: int | float) -> float:
    """Returns a number as a double, as which it is cast to any type of floats."""
    return float(_checked(value))


def invalid(text: str) -> ServingError:
    """Returns an INVALID_ARGUMENT."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)


def misshapen(value: Any, text: str) -> ServingError:
    """Returns an INVALID_ARGUMENT that quotes the JSON value."""
    return invalid(f"JSON Value: {json_writer.shown(value)} {text}")


def dtype_name(dtype: int) -> str:
    """Returns the name of a dtype as in error texts: float, int64, string."""
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
