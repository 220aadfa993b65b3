"""Predict: runs a signature on tensors, from request message to response message.

Counterparts, also of checks, their order, codes and texts: tensorflow_serving/servables/tensorflow/
predict_util.cc and tensorflow/cc/saved_model/util.cc.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.errors import ServingError
from serving.protocol import tensors
from serving.server.servables.base import Servable
from serving.server.servables.signature_constants import (
    CLASSIFY,
    DEFAULT_SIGNATURE,
    PREDICT,
    REGRESS,
)

_METHOD_NAMES = (PREDICT, CLASSIFY, REGRESS)
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
# A message cannot be larger; this is what gRPC says where one is.
_MAX_BYTES = 2**31 - 1
TOO_LARGE = "Failed to serialize message"


def predict(
    session: Servable,
    request: predict_pb2.PredictRequest,
    timeout: float | None = None,
    *,
    check_method_name: bool = False,
    tensor_content: bool = False,
) -> predict_pb2.PredictResponse:
    """Runs the signature that the request names.

    Args:
        session: The model version that answers.
        request: Inputs by name, with the signature in its `model_spec`.
        timeout: Seconds left for the answer.
        check_method_name: Whether the signature must be declared for inference.
        tensor_content: Whether numbers are written to `tensor_content` instead of the typed fields
            of their dtypes, which are slower. Strings always go into `string_val`: TensorFlow
            Serving crashes on strings with this flag.

    Returns:
        The outputs; `model_spec` carries the signature.

    Raises:
        ServingError: With TensorFlow Serving's code and text.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in session.signatures:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
        )
    signature = session.signatures[name]
    if check_method_name and signature.method_name not in _METHOD_NAMES:
        raise ServingError(
            grpc.StatusCode.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHOD_NAMES)}}}"
            f". Was: {signature.method_name}",
        )
    feeds = _feeds(signature, request)
    aliases = _outputs(signature, request)
    arrays = session.run(feeds, [signature.outputs[alias].name for alias in aliases], timeout)
    if sum(array.nbytes for array in arrays) > _MAX_BYTES:
        raise ServingError(grpc.StatusCode.INTERNAL, TOO_LARGE)
    response = predict_pb2.PredictResponse()
    response.model_spec.signature_name = name
    for alias, array in zip(aliases, arrays, strict=True):
        tensors.encode(response.outputs[alias], array, typed=not tensor_content)
    return response


def _feeds(
    signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest
) -> dict[str, np.ndarray]:
    sent, expected = set(request.inputs), set(signature.inputs)
    if len(sent) > len(expected) or (len(sent) < len(expected) and not signature.defaults):
        raise ServingError(
            _INVALID,
            f"input size does not match signature: {len(sent)}!={len(expected)} "
            f"len({_set(sent)}) != len({_set(expected)}). "
            f"Sent extra: {_set(sent - expected)}. "
            f"Missing but required: {_set(expected - sent)}.",
        )
    feeds = {}
    for alias, info in sorted(signature.inputs.items()):
        if alias not in sent and alias not in signature.defaults:
            raise ServingError(
                _INVALID,
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request "
                "and no default value provided. Inputs expected to be in the request "
                f"{_set(sent)}, or default input alias set: {_list(signature.defaults)}",
            )
        proto = request.inputs[alias] if alias in sent else signature.defaults[alias]
        try:
            feeds[info.name] = tensors.decode(proto)
        except tensors.OpaqueError as error:
            if proto.dtype == info.dtype:
                raise ServingError(_INVALID, f"tensor parsing error: {alias}") from error
            # It cannot be fed for the runtime to refuse it.
            given = [
                signature.inputs[each].name for each in expected & {*sent, *signature.defaults}
            ]
            raise ServingError(
                _INVALID,
                f"Expects arg[{sorted(given).index(info.name)}] to be {_type_name(info.dtype)} "
                f"but {_type_name(proto.dtype)} is provided",
            ) from error
        except ValueError as error:
            raise ServingError(_INVALID, f"tensor parsing error: {alias}") from error
    if sent - expected:
        raise ServingError(
            _INVALID,
            f"Inputs contains invalid name. Used request inputs: {_list(sent & expected)}, "
            f"request input: {_list(sent)}",
        )
    return feeds


def _outputs(
    signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest
) -> list[str]:
    if not request.output_filter:
        return sorted(signature.outputs)
    aliases: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise ServingError(
                _INVALID,
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {_set(signature.outputs)}.",
            )
        if alias in aliases:
            raise ServingError(_INVALID, f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return aliases


def _type_name(number: int) -> str:
    """Returns the runtime's name of a dtype, such as "float"."""
    return types_pb2.DataType.Name(number).removeprefix("DT_").lower()


def _list(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _set(names: Iterable[str]) -> str:
    return f"{{{_list(names)}}}"
