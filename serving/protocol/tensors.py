"""TensorProto to NumPy and back, without TensorFlow.

The functions work on any message class with TensorProto's fields: the client's own and
TensorFlow's. Typed fields are read and written through their packed wire form where that is
possible, which is two orders of magnitude faster than element by element.
"""

from __future__ import annotations

import functools
import io
import math
from typing import Any

import numpy as np

# DataType numbers (tensorflow/core/framework/types.proto) with NumPy's names of the same types.
_NAMES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
# Quantized types, which NumPy lacks: TensorFlow takes integers in an array of one field, so named.
_QUANTIZED = {
    name: np.dtype([(name, name.removeprefix("q"))])
    for name in ("qint8", "quint8", "qint16", "quint16", "qint32")
}
_NAMES |= {11: "qint8", 12: "quint8", 13: "qint32", 15: "qint16", 16: "quint16"}
_NUMBERS = {name: number for number, name in _NAMES.items()}
STRING = 7
# Types that signatures may have but clients can neither send nor read.
_OPAQUE = {
    **{0: "invalid", STRING: "string", 20: "resource", 21: "variant"},
    **{24: "float8_e5m2", 25: "float8_e4m3fn", 26: "float8_e4m3fnuz", 27: "float8_e4m3b11fnuz"},
    **{28: "float8_e5m2fnuz", 29: "int4", 30: "uint4", 31: "int2", 32: "uint2"},
    33: "float4_e2m1fn",
}

# Which repeated field carries a type's values (tensorflow/core/framework/tensor.proto).
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
    "float16": "half_val",
    "bfloat16": "half_val",
}
# Fields of fixed width are their own bytes on the wire: field number and NumPy type.
_PACKED = {"float32": 5, "float64": 6}
# Limit of the size to which a list of values is extended: the largest gRPC message.
_MAX_BYTES = 2**31 - 1


class OpaqueError(ValueError):
    """A tensor whose dtype has no values in NumPy."""


def dtype_name(number: int) -> str:
    """Returns TensorFlow's name of a DataType, such as "float32" or "string"."""
    return _NAMES.get(number) or _OPAQUE.get(number, f"type {number}")


def numpy_dtype(name: str) -> np.dtype:
    """Returns NumPy's type of a name that `dtype_name` returns; strings are objects.

    Raises:
        TypeError: A type without values, such as "resource".
        ModuleNotFoundError: bfloat16 needs the package ml_dtypes.
    """
    if name == "string":
        return np.dtype(object)
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    if name in _QUANTIZED:
        return _QUANTIZED[name]
    if name not in _NUMBERS:
        raise TypeError(f"NumPy has no values of dtype {name}")
    return np.dtype(name)


def decode(proto: Any) -> np.ndarray:
    """Returns the array of a TensorProto; strings come as objects (bytes).

    As in TensorFlow, a list of values that is too short is extended by its last value, an empty
    one is filled with zeros, surplus values are ignored, and so is the mark of an unknown rank.

    Raises:
        OpaqueError: A dtype whose values have no NumPy array.
        ValueError: Unknown dtype, negative or huge shape, or content that does not fit.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise ValueError(f"the shape {shape} has a negative size")
    if proto.dtype in _OPAQUE and proto.dtype not in (0, STRING):
        raise OpaqueError(f"tensors of dtype {dtype_name(proto.dtype)} are not supported")
    size = math.prod(shape)
    dtype = _dtype(proto.dtype)
    if size == 0:
        return np.empty(shape, dtype)
    if proto.dtype == STRING:
        content = proto.tensor_content
        strings = _unpacked_strings(content, size) if content else list(proto.string_val)
        return _filled(np.array(strings, object), size, b"").reshape(shape)
    if content := proto.tensor_content:  # A copy, each time that it is asked for.
        if len(content) != size * dtype.itemsize:
            raise ValueError(f"tensor_content does not hold {size} values of {dtype}")
        if dtype.kind == "b" and max(content) > 1:
            raise ValueError("tensor_content holds booleans other than 0 and 1")
        return np.frombuffer(content, dtype).reshape(shape)
    name = _NAMES[proto.dtype]  # NumPy composes that of a dtype on each access, which is slow.
    values = getattr(proto, _FIELDS.get(name, "int_val"))
    if name in ("float16", "bfloat16"):
        array = np.array(values, np.uint16).view(dtype)
    elif dtype.kind == "c":
        pairs = len(values) // 2
        array = np.array(values, dtype.type(0).real.dtype)[: 2 * pairs].view(dtype)
    elif dtype.names:
        array = np.array(values, np.int64).astype(dtype[0])
    elif dtype.kind in "iu":
        # Values beyond the type wrap around, as C++ casts them.
        array = np.array(values, np.uint64 if dtype.kind == "u" else np.int64).astype(dtype)
    else:
        array = np.array(values, dtype)
    return _filled(array, size, 0).reshape(shape).view(dtype)


def encode(proto: Any, array: np.ndarray, *, typed: bool = False) -> None:
    """Fills an empty TensorProto from an array.

    Args:
        proto: The message to fill.
        array: Numbers, booleans, or strings as `str` or `bytes`.
        typed: Whether numbers go into the fields of their type, as TensorFlow Serving
            answers, and not into `tensor_content`, which is shorter to write.

    Raises:
        TypeError: A dtype that TensorFlow does not have.
    """
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    shape = proto.tensor_shape
    shape.SetInParent()  # That of a scalar is there, too.
    for size in array.shape:
        shape.dim.add().size = size
    if array.dtype.kind in "OSU":
        proto.dtype = STRING
        proto.string_val.extend(_bytes(item) for item in array.flat)
        return
    name = _name(array.dtype)
    if name not in _NUMBERS:
        raise TypeError(f"TensorFlow has no dtype {name}")
    proto.dtype = _NUMBERS[name]
    if array.dtype.names:
        array = array.view(array.dtype[0])
    if not typed:
        proto.tensor_content = array.tobytes()
    elif name in _PACKED:
        content = np.ascontiguousarray(array).tobytes()
        proto.MergeFromString(bytes([_PACKED[name] << 3 | 2]) + _varint(len(content)) + content)
    elif name in ("float16", "bfloat16"):
        proto.half_val.extend(array.view(np.uint16).ravel().tolist())
    elif array.dtype.kind == "c":
        real = np.ascontiguousarray(array).view(array.real.dtype)
        getattr(proto, _FIELDS[name]).extend(real.ravel().tolist())
    else:
        getattr(proto, _FIELDS.get(name, "int_val")).extend(array.ravel().tolist())


@functools.cache
def _name(dtype: np.dtype) -> str:
    quantized = (name for name, each in _QUANTIZED.items() if each == dtype)
    return next(quantized, dtype.name)


@functools.cache
def _dtype(number: int) -> np.dtype:
    if number == STRING:
        return np.dtype(object)
    if number not in _NAMES:
        raise ValueError(f"dtype {number} is not supported")
    return numpy_dtype(_NAMES[number])


def _filled(array: np.ndarray, size: int, default: object) -> np.ndarray:
    if len(array) >= size:
        return array[:size]
    if size * array.itemsize > _MAX_BYTES:
        raise ValueError(f"{len(array)} values are too few for a shape of {size}")
    last = array[-1] if len(array) else default
    return np.concatenate([array, np.full(size - len(array), last, array.dtype)])


def _bytes(item: object) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes):
        return item
    raise TypeError(f"a tensor of strings cannot hold {item!r}")


def _unpacked_strings(content: bytes, size: int) -> list[bytes]:
    """Reads strings out of `tensor_content`: first the length of each, then their bytes."""
    stream = io.BytesIO(content)
    lengths = [_read_varint(stream) for _ in range(size)]
    if sum(lengths) != len(content) - stream.tell():
        raise ValueError(f"tensor_content does not hold {size} strings")
    return [stream.read(length) for length in lengths]


def _read_varint(stream: io.BytesIO) -> int:
    number = 0
    for shift in range(0, 35, 7):
        byte = ord(stream.read(1) or b"\xff")
        number |= (byte & 127) << shift
        if byte < 128:
            return number
    raise ValueError("tensor_content holds a length that does not end")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
