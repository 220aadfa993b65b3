"""A case of the contract, and the words that the tables are written in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow_serving.apis import model_management_pb2

from serving.protocol import messages, tensors

PREDICT = "PredictionService/Predict"
METADATA = "PredictionService/GetModelMetadata"
STATUS = "ModelService/GetModelStatus"
RELOAD = "ModelService/HandleReloadConfigRequest"

RESPONSES = {
    PREDICT: messages.PredictResponse,
    METADATA: messages.GetModelMetadataResponse,
    STATUS: messages.GetModelStatusResponse,
    RELOAD: model_management_pb2.ReloadConfigResponse,
}


@dataclass(frozen=True)
class Case:
    """A request and what comes back.

    Attributes:
        name: What the request is, in words.
        method: Service and method.
        request: The message, or its bytes.
        code: The gRPC status code.
        text: The message of the status.
        answer: The response to a request that succeeds.
    """

    name: str
    method: str
    request: Any
    code: str
    text: str = ""
    answer: Any = None


def tensor(fields: str) -> Any:
    """Returns a TensorProto from "dtype shape field=value,value …", such as "1 2x3 float_val=7".

    The shape may also be "scalar" or "unknown". Bytes are given in hexadecimal.
    """
    dtype, shape, *values = fields.split()
    proto = messages.CLASSES["TensorProto"](dtype=int(dtype))
    proto.tensor_shape.unknown_rank = shape == "unknown"
    for size in shape.split("x") if shape not in ("scalar", "unknown") else ():
        proto.tensor_shape.dim.add().size = int(size)
    for field in values:
        name, _, listed = field.partition("=")
        if name == "tensor_content":
            proto.tensor_content = bytes.fromhex(listed)
        elif name == "string_val":
            proto.string_val.extend(bytes.fromhex(value) for value in listed.split(","))
        else:
            getattr(proto, name).extend(json.loads(f"[{listed}]"))
    return proto


def spec(
    model: str = "",
    *,
    version: int | None = None,
    label: str | None = None,
    signature: str = "",
) -> Any:
    message = messages.CLASSES["ModelSpec"](name=model, signature_name=signature)
    if version is not None:
        message.version.value = version
    if label is not None:
        message.version_label = label
    return message


def predict(
    model: str = "",
    *,
    version: int | None = None,
    label: str | None = None,
    signature: str = "",
    outputs: Sequence[str] = (),
    **inputs: Any,
) -> Any:
    """Floats go as `tensor_content`; a text is read by `tensor`."""
    request = messages.PredictRequest(output_filter=outputs)
    request.model_spec.CopyFrom(spec(model, version=version, label=label, signature=signature))
    for name, value in inputs.items():
        if isinstance(value, str):
            request.inputs[name].CopyFrom(tensor(value))
        else:
            array = np.asarray(value)
            array = array.astype(np.float32) if array.dtype == np.float64 else array
            tensors.encode(request.inputs[name], array)
    return request


def answered(model: str, **outputs: str) -> Any:
    response = messages.PredictResponse(
        model_spec=spec(model, version=1, signature="serving_default")
    )
    for name, fields in outputs.items():
        response.outputs[name].CopyFrom(tensor(fields))
    return response


def metadata(model: str = "", fields: Sequence[str] = ("signature_def",), **choice: Any) -> Any:
    return messages.GetModelMetadataRequest(model_spec=spec(model, **choice), metadata_field=fields)


def status(model: str = "", **choice: Any) -> Any:
    return messages.GetModelStatusRequest(model_spec=spec(model, **choice))


def reload(*models: dict[str, Any]) -> Any:
    """Each model with the fields of its ModelConfig; the platform is tensorflow if not given."""
    request = model_management_pb2.ReloadConfigRequest()
    for model in models:
        request.config.model_config_list.config.add(**{"model_platform": "tensorflow"} | model)
    return request
