"""Predict over REST: JSON to tensors and back.

Counterpart: tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from serving.errors import ServingError
from serving.protocol import tensors
from serving.server.rest import json_numbers, json_reader, json_values, json_writer
from serving.server.rest.json_reader import invalid, misshapen
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
    document = json_numbers.read(body)
    if document is not None:
        with contextlib.suppress(ServingError):  # The next reading finds it, and words it.
            return _fill(request, document, signatures)
    return _fill(request, json_reader.read(body), signatures)


def _fill(request: predict_pb2.PredictRequest, document: Any, signatures: Signatures) -> bool:
    set_signature(request, document)
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
        raise misshapen(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list | np.ndarray):
            raise misshapen(document, "Expecting 'instances' to be an list/array")
        if not len(instances):
            raise misshapen(document, "No values in 'instances' array")
        inputs = _from_instances(instances, dtypes)
    elif "inputs" in document:
        inputs = _from_inputs(document["inputs"], dtypes)
    else:
        raise invalid("Missing 'inputs' or 'instances' key")
    for alias, array in inputs.items():
        proto = request.inputs[alias]
        tensors.encode(proto, array)
        proto.dtype = dtypes[alias]  # An empty array may have another dtype.
    return "instances" in document


def set_signature(request: Any, document: Any) -> None:
    """Sets the signature of a request to the one that its JSON names.

    Raises:
        ServingError: It is no object, or names a signature by anything but a text.
    """
    if not isinstance(document, dict):
        raise misshapen(document, "Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise misshapen(
            document, "not formatted correctly. 'signature_name' key must be a string value."
        )
    request.model_spec.signature_name = name


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
        return json_writer.written({"predictions": _rows(arrays)})
    values = {alias: _writable(alias, array) for alias, array in arrays.items()}
    return json_writer.written({"outputs": values if len(values) > 1 else values.popitem()[1]})


def _from_inputs(value: Any, dtypes: Mapping[str, int]) -> dict[str, np.ndarray]:
    if _is_named(value):
        for alias in sorted(dtypes):
            if alias not in value:
                raise invalid(f"Missing named input: {alias} in 'inputs' object.")
        return {
            alias: json_values.tensor(value[alias], dtypes[alias], alias)
            for alias in sorted(dtypes)
        }
    if len(dtypes) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    ((alias, dtype),) = dtypes.items()
    return {alias: json_values.tensor(value, dtype, alias)}


def _from_instances(instances: Any, dtypes: Mapping[str, int]) -> dict[str, np.ndarray]:
    named = _is_named(instances[0])
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if not named:
        columns = {min(dtypes): instances}
    elif all(_is_named(each) and each.keys() == dtypes.keys() for each in instances):
        columns = {alias: [each[alias] for each in instances] for alias in dtypes}
    else:
        columns = {}
    arrays = {}
    for alias, column in columns.items():
        array = json_values.dense(column, dtypes[alias])
        if array is not None:
            arrays[alias] = array
    if not arrays or len(arrays) < len(columns):
        _check_rows(instances, named, dtypes)
        raise AssertionError("the instances are refused, but nothing in them is wrong")
    return arrays


def _check_rows(instances: list[Any], named: bool, dtypes: Mapping[str, int]) -> None:
    """Raises what is wrong in the first instance that does not fit."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, element in enumerate(instances):
        if named != _is_named(element):
            expected, actual = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {actual} at item {index} of input list")
        for alias, item in element.items() if named else [(min(dtypes), element)]:
            try:
                if alias not in dtypes:
                    raise invalid(f"JSON object: does not have named input: {alias}")
                shape = json_values.check(item, dtypes[alias], alias)
                _check_shape(shapes.setdefault(alias, shape), shape)
            except ServingError as error:
                key = f" key: {alias}" if named else ""
                raise invalid(
                    f"Failed to process element: {index}{key} of 'instances' list. Error: {error}"
                ) from error
        if named and element.keys() != dtypes.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{json_reader.shown(element)} keys must be equal to: {','.join(sorted(dtypes))}"
            )


def _check_shape(first: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if math.prod(first) != math.prod(shape):
        raise invalid(f"Expecting tensor size: {math.prod(first)} but got: {math.prod(shape)}")
    if first != shape:
        texts = [f"[{','.join(map(str, each))}]" for each in (first, shape)]
        raise invalid(f"Expecting shape {texts[0]} but got: {texts[1]}")


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not json_values.is_base64(value)


def _rows(arrays: Mapping[str, np.ndarray]) -> Any:
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
        return []
    columns = [_writable(alias, array) for alias, array in arrays.items()]
    if len(columns) == 1:
        return columns[0]
    return [dict(zip(arrays, row, strict=True)) for row in zip(*columns, strict=True)]


def _writable(alias: str, array: np.ndarray) -> Any:
    if array.dtype.kind != "O":
        return json_writer.numbers(array)
    return (json_writer.encoded if alias.endswith("_bytes") else json_writer.texts)(array)
