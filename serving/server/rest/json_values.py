"""JSON values to arrays.

Nested lists are converted as a whole. Only if something does not fit, the values are looked at one
by one for the first that is wrong, which TensorFlow Serving's text names.

Counterpart: tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

import base64
import contextlib
import re
from itertools import chain
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2

from serving.errors import ServingError
from serving.server.rest.json_reader import invalid, kind, misshapen, shown

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


def tensor(value: Any, dtype: int, alias: str) -> np.ndarray:
    """Returns the array of a value, or raises what `check` does."""
    array = dense(value, dtype)
    if array is None:
        check(value, dtype, alias)
        raise AssertionError(f"the value of {alias} is refused, but nothing in it is wrong")
    return array


def dense(value: Any, dtype: int) -> np.ndarray | None:
    """Returns the array of a value, or None if something in it does not fit.

    Args:
        value: A value, a nested list, an array of numbers, or a list of such arrays.
        dtype: Number of the dtype that the array is to have.
    """
    array = value if isinstance(value, np.ndarray) else _array(value)
    numpy_type = TYPES.get(dtype)
    if array is None or not array.size:
        return None if array is None else np.empty(array.shape, numpy_type or np.float32)
    if numpy_type is None:
        return None
    if issubclass(numpy_type, np.floating) and array.dtype.kind in "iuf":
        with np.errstate(over="ignore"):  # What is beyond the type's range becomes infinite.
            return array.astype(np.float64).astype(numpy_type)
    if issubclass(numpy_type, np.integer) and array.dtype.kind in "iu":
        limits = _limits(numpy_type)
        fits = limits.min <= int(array.min()) and int(array.max()) <= limits.max
        return array.astype(numpy_type) if fits else None
    return array if array.dtype == numpy_type else None


def check(value: Any, dtype: int, alias: str) -> tuple[int, ...]:
    """Returns the shape of a value or a nested list, given by the first value at each level.

    Args:
        value: What came as JSON.
        dtype: Number of the dtype that the signature declares.
        alias: Name of the input.

    Raises:
        ServingError: What does not fit, with TensorFlow Serving's code and text. Of an array,
            which does not tell floats from integers, only that it does not fit.
    """
    if isinstance(value, np.ndarray | np.generic):
        raise invalid("The numbers do not fit")
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) >= _MAX_RANK:
        raise invalid(f"tensor parsing error: {alias}")
    _check(value, 0, shape, dtype)
    return tuple(shape)


def _array(value: Any) -> np.ndarray | None:
    """Returns numbers, booleans or bytes as an array, or None if they differ in type or length."""
    if isinstance(value, list) and value and all(type(each) is np.ndarray for each in value):
        return np.stack(value) if len({each.shape for each in value}) == 1 else None
    leaves, shape = [value], []
    while leaves and type(leaves[0]) is list:
        if set(map(type, leaves)) != {list} or len(set(map(len, leaves))) != 1:
            return None
        shape.append(len(leaves[0]))
        leaves = list(chain.from_iterable(leaves))
    array = _packed(leaves) if len(shape) <= _MAX_RANK else None
    return None if array is None else array.reshape(shape)


def _packed(leaves: list[Any]) -> np.ndarray | None:
    kinds = set(map(type, leaves))
    if kinds <= {int, float}:
        for numpy_type in (np.float64,) if float in kinds else (np.int64, np.uint64, np.float64):
            with contextlib.suppress(OverflowError):
                return np.array(leaves, numpy_type)
    if kinds == {bool}:
        return np.array(leaves)
    if kinds <= {str, dict}:
        array = np.empty(len(leaves), np.object_)
        with contextlib.suppress(ServingError):
            array[:] = [
                each.encode() if type(each) is str else decode_base64(each) for each in leaves
            ]
            return array
    return None


def _check(value: Any, level: int, shape: list[int], dtype: int) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise misshapen(
                value,
                f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}",
            )
        _check_element(value, dtype)
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    array = dense(value, dtype)
    if array is None or list(array.shape) != shape[level:]:
        for item in value:
            _check(item, level + 1, shape, dtype)


def _check_element(value: Any, dtype: int) -> None:
    if dtype == types_pb2.DT_STRING and isinstance(value, dict):
        decode_base64(value)
    elif dtype not in TYPES and not isinstance(value, dict):
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {shown(value)} to type: {dtype_name(dtype)}",
        )
    elif dense(value, dtype) is None:
        raise misshapen(value, f"Type: {kind(value)} is not of expected type: {dtype_name(dtype)}")


def _limits(numpy_type: type) -> np.iinfo:
    return np.iinfo(np.int32 if numpy_type in _READ_AS_INT32 else numpy_type)


def decode_base64(value: Any) -> bytes:
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
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def dtype_name(dtype: int) -> str:
    """Returns the name of a dtype as in error texts: float, int64, string."""
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
