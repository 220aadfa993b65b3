"""Requests and answers as JSON lines: an object of inputs in, an object of outputs out.

As in TensorFlow Serving's REST API, a value stands for one example and leaves out the batch
dimension, and bytes that are not UTF-8 are written {"b64": "..."}.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.client.calls import Signature, TensorInfo
from serving.errors import UserError
from serving.protocol import tensors


def inputs(line: str, signature: Signature, where: str) -> tuple[dict[str, np.ndarray], bool]:
    """Reads the inputs of a request.

    Args:
        line: JSON: values by input, or the value itself where the signature has one input. Beside
            all inputs there may be others, as the truth in a model's examples; they are not read.
        signature: Gives the inputs their types and shapes.
        where: Name of the line in error messages.

    Returns:
        The arrays, and whether a batch dimension was added to one of them. A value that is
        nested as deep as the signature's shape has one already.

    Raises:
        UserError: The line is not JSON, or does not fit the signature.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:  # The latter where it is nested too deep.
        raise UserError(f"{where} is not JSON: {error}") from error
    if len(signature.inputs) == 1 and (not isinstance(content, dict) or set(content) == {"b64"}):
        content = {next(iter(signature.inputs)): content}
    read = signature.inputs.keys()
    if not isinstance(content, dict) or not (content.keys() <= read or content.keys() >= read):
        names = ", ".join(signature.inputs)
        raise UserError(f"{where} must be an object with the inputs {names}, not {line.strip()}")
    arrays: dict[str, np.ndarray] = {}
    one = False
    for name, value in content.items():
        if name not in read:
            continue
        info = signature.inputs[name]
        array = _array(value, info, f"{where}, input {name},")
        if info.shape is not None and array.ndim == len(info.shape) - 1:
            array, one = array[None], True
        arrays[name] = array
    return arrays, one


def outputs(arrays: Mapping[str, np.ndarray], one: bool) -> str:
    """Writes the outputs of a request, without the batch dimension where it was added."""
    return json.dumps(
        {
            name: _json(array[0, ...] if one and array.ndim and len(array) == 1 else array)
            for name, array in arrays.items()
        },
        ensure_ascii=False,
    )


def _array(value: Any, info: TensorInfo, where: str) -> np.ndarray:
    try:
        if info.dtype == "string":
            array = np.array(_strings(value), object)
            fits = all(isinstance(item, (str, bytes)) for item in array.flat)
        else:
            dtype = tensors.numpy_dtype(info.dtype)
            array = np.array(value)
            fits = array.size == 0 or array.dtype.kind in _kinds(dtype)
            array = np.array(value, dtype) if fits else array
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{where} must hold {info.dtype}: {error}") from error
    if not fits:
        raise UserError(f"{where} must hold {info.dtype}, not {json.dumps(value)[:80]}")
    return array


def _kinds(dtype: np.dtype) -> str:
    """Returns NumPy's kinds of the JSON values that a dtype can hold."""
    return {"b": "b", "i": "iu", "u": "iu"}.get(dtype.kind, "iuf")


def _strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_strings(item) for item in value]
    return decoded(value)


def decoded(value: Any) -> Any:
    """Returns a value; bytes stand as {"b64": "…"}, as in TensorFlow Serving's REST API.

    Raises:
        ValueError: What stands there is no base64.
    """
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError) as error:
            raise ValueError(f"b64 is no base64: {error}") from error
    return value


def _json(array: np.ndarray) -> Any:
    kind = array.dtype.kind
    if kind == "O":
        return _texts(array.tolist())
    if kind == "c":
        return _json(np.stack([array.real, array.imag], -1))
    if kind == "V":  # bfloat16
        array = array.astype(np.float32)
    if array.dtype in (
        np.float16,
        np.float32,
    ):  # The shortest decimals that parse to the same value.
        array = array.astype("U32").astype(np.float64)
    return array.tolist()


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
