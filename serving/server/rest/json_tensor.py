"""Predict over REST: JSON to tensors and back.

Counterpart: tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from serving.errors import ServingError
from serving.protocol import tensors
from serving.server.rest import json_reader, json_values, json_writer
from serving.server.rest.json_values import invalid, misshapen
from serving.server.servables.signature_constants import DEFAULT_SIGNATURE

Signatures = Callable[[model_pb2.ModelSpec], Mapping[str, meta_graph_pb2.SignatureDef]]


def fill_predict_request(
    request: predict_pb2.PredictRequest, body: bytes, signatures: Signatures
) -> bool:
    """Fills signature and inputs of a request from JSON.

    Args:
        request: The request to fill; it has the model's name.
        body: {"instances": …} or {"inputs": …}, optionally with "signature_name".
        signatures: Returns the signatures of the version that a spec asks for.

    Returns:
        Whether the inputs came row by row, as "instances".

    Raises:
        ServingError: With TensorFlow Serving's code and text.
    """
    document = read_request(request, body)
    name = request.model_spec.signature_name
    found = signatures(request.model_spec)
    if (name or DEFAULT_SIGNATURE) not in found:
        raise invalid(
            f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def'
        )
    dtypes = {alias: info.dtype for alias, info in found[name or DEFAULT_SIGNATURE].inputs.items()}
    if not dtypes:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {json_writer.shown(document)} Not formatted correctly expecting only "
            "one of 'inputs' or 'instances' keys to exist "
        )
    try:
        if "instances" in document:
            instances = document["instances"]
            if not isinstance(instances, list):
                raise misshapen(document, "Expecting 'instances' to be an list/array")
            if not instances:
                raise misshapen(document, "No values in 'instances' array")
            inputs = _from_instances(instances, dtypes)
        elif "inputs" in document:
            inputs = _from_inputs(document["inputs"], dtypes)
        else:
            raise invalid("Missing 'inputs' or 'instances' key")
    except json_values.TooBigError:
        json_reader.read_exactly(body)
        raise
    for alias, array in inputs.items():
        proto = request.inputs[alias]
        tensors.encode(proto, array)
        proto.dtype = dtypes[alias]  # An empty array may have another dtype.
    return "instances" in document


def read_request(request: Any, body: bytes) -> dict[str, Any]:
    """Returns the JSON object of any request, and sets its `signature_name`."""
    document = json_reader.read(body)
    if not isinstance(document, dict):
        raise misshapen(document, "Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise misshapen(
            document, "not formatted correctly. 'signature_name' key must be a string value."
        )
    request.model_spec.signature_name = json_writer.encoded(name).decode(errors="replace")
    return document


def predict_response(outputs: Mapping[str, tensor_pb2.TensorProto], rows: bool) -> bytes:
    """Returns the JSON of a response: {"predictions": …} in rows, else {"outputs": …}.

    Raises:
        ServingError: A dtype without a JSON representation, or outputs without or with unequal
            numbers of rows.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    arrays = {alias: tensors.decode(outputs[alias]) for alias in sorted(outputs)}
    for alias, array in arrays.items():
        if array.size and outputs[alias].dtype not in json_values.TYPES:
            name = json_values.dtype_name(outputs[alias].dtype)
            raise invalid(f"Failed to write JSON value for tensor type: {name}")
    if rows:
        return json_writer.encoded(_row_response(arrays))
    around = 1 if len(arrays) == 1 else 2
    texts = [
        json_writer.nested(_cells(alias, array, around), array.shape, around)[0]
        for alias, array in arrays.items()
    ]
    whole = (
        texts[0]
        if len(texts) == 1
        else json_writer.object_of(list(zip(arrays, texts, strict=True)), 1)
    )
    return json_writer.encoded(json_writer.object_of([("outputs", whole)], 0))


def _from_inputs(value: Any, dtypes: Mapping[str, int]) -> dict[str, np.ndarray]:
    if isinstance(value, dict) and not json_values.is_base64(value):
        for alias in sorted(dtypes):
            if alias not in value:
                raise invalid(f"Missing named input: {alias} in 'inputs' object.")
        return {alias: _tensor(value[alias], dtypes[alias], alias) for alias in sorted(dtypes)}
    if len(dtypes) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    ((alias, dtype),) = dtypes.items()
    return {alias: _tensor(value, dtype, alias)}


def _tensor(value: Any, dtype: int, alias: str) -> np.ndarray:
    array = json_values.dense(value, dtype)
    if array is not None:
        return array
    shape = json_values.shape_of(value, alias)
    values: list[Any] = []
    json_values.collect(value, 0, shape, dtype, values)
    return json_values.packed(values, dtype).reshape(shape)


def _from_instances(instances: list[Any], dtypes: Mapping[str, int]) -> dict[str, np.ndarray]:
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    arrays = _together(instances, dtypes)
    return _one_by_one(instances, dtypes) if arrays is None else arrays


def _together(instances: Sequence[Any], dtypes: Mapping[str, int]) -> dict[str, np.ndarray] | None:
    """Returns the inputs, or None if the instances must be checked one by one."""
    if not _is_named(instances[0]):
        array = json_values.dense(instances, dtypes[min(dtypes)])
        return None if array is None else {min(dtypes): array}
    if not all(_is_named(each) and each.keys() == dtypes.keys() for each in instances):
        return None
    arrays = {}
    for alias, dtype in dtypes.items():
        array = json_values.dense([each[alias] for each in instances], dtype)
        if array is None:
            return None
        arrays[alias] = array
    return arrays


def _one_by_one(instances: list[Any], dtypes: Mapping[str, int]) -> dict[str, np.ndarray]:
    named = _is_named(instances[0])
    rows = _Rows(dtypes)
    count, parts = json_values.leading(instances, lambda some: _together(some, dtypes))
    rows.begin(count, parts)
    for index, element in enumerate(instances[count:], count):
        if named != _is_named(element):
            expected, actual = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {actual} at item {index} of input list")
        pairs = json_reader.members(element) if named else [(min(dtypes), element)]
        for alias, item in pairs:
            try:
                rows.add(alias, item, index)
            except ServingError as error:
                key = f" key: {alias}" if named else ""
                raise invalid(
                    f"Failed to process element: {index}{key} of 'instances' list. Error: {error}"
                ) from error
        if named and element.keys() != dtypes.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{json_writer.shown(element)} keys must be equal to: {','.join(sorted(dtypes))}"
            )
    return rows.arrays(len(instances))


class _Rows:
    """Values of the inputs, collected instance by instance; each input has one shape."""

    def __init__(self, dtypes: Mapping[str, int]) -> None:
        self._dtypes = dtypes
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._values: dict[str, list[list[Any]]] = {}

    def begin(self, count: int, parts: Mapping[str, list[np.ndarray]]) -> None:
        """Takes the first instances as arrays."""
        for alias, arrays in parts.items():
            self._shapes[alias] = arrays[0].shape[1:]
            values = [value for array in arrays for value in array.ravel().tolist()]
            self._values[alias] = [values, *[[]] * (count - 1)]

    def add(self, alias: str, item: Any, index: int) -> None:
        if alias not in self._dtypes:
            raise invalid(f"JSON object: does not have named input: {alias}")
        shape = json_values.shape_of(item, alias)
        values: list[Any] = []
        json_values.collect(item, 0, shape, self._dtypes[alias], values)
        first = self._shapes.setdefault(alias, shape)
        if math.prod(first) != len(values):
            raise invalid(f"Expecting tensor size: {math.prod(first)} but got: {len(values)}")
        if first != shape:
            texts = [f"[{','.join(map(str, each))}]" for each in (first, shape)]
            raise invalid(f"Expecting shape {texts[0]} but got: {texts[1]}")
        collected = self._values.setdefault(alias, [])
        if len(collected) == index:  # The first of repeated keys wins.
            collected.append(values)

    def arrays(self, count: int) -> dict[str, np.ndarray]:
        return {
            alias: json_values.packed(list(chain.from_iterable(rows)), self._dtypes[alias]).reshape(
                count, *self._shapes[alias]
            )
            for alias, rows in self._values.items()
        }


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not json_values.is_base64(value)


def _row_response(arrays: Mapping[str, np.ndarray]) -> str:
    size = None
    for alias, array in arrays.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {alias} has no shape information ")
        if size is not None and len(array) != size:
            raise invalid(
                f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)
    if not size:
        return json_writer.object_of([("predictions", "[]")], 0)
    level = 2 if len(arrays) == 1 else 3
    columns = [
        json_writer.nested(
            _cells(alias, array, level - 1), array.shape[1:], level, count=size, single_line=True
        )
        for alias, array in arrays.items()
    ]
    if len(columns) == 1:
        rows = ", ".join(columns[0])
    else:
        items = [
            json_writer.object_of(list(zip(arrays, row, strict=True)), 2)
            for row in zip(*columns, strict=True)
        ]
        rows = "\n        " + ",\n        ".join(items)
    return json_writer.object_of([("predictions", f"[{rows}\n    ]")], 0)


def _cells(alias: str, array: np.ndarray, level: int) -> list[str]:
    """Returns the text of each value; `level` counts the lists and objects around the array."""
    flat = array.ravel()
    if array.dtype.kind == "f":
        return json_writer.decimals(flat)
    if array.dtype.kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if array.dtype.kind != "O":
        return list(map(str, flat.tolist()))
    if not alias.endswith("_bytes"):
        return [json_writer.quoted(json_reader.decoded(value)) for value in flat]
    return [
        json_writer.object_of(
            [("b64", json_writer.quoted(base64.b64encode(value).decode()))], level + array.ndim
        )
        for value in flat
    ]
