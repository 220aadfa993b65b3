"""GetModelMetadata and GetModelStatus: what is served, and in which state.

Sources: tensorflow_serving/servables/tensorflow/get_model_metadata_impl.cc and
tensorflow_serving/model_servers/get_model_status_impl.cc.
"""

from __future__ import annotations

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
)

from serving.errors import ServingError
from serving.server.lifecycle.manager import Manager
from serving.server.servables.base import Servable

_INVALID = grpc.StatusCode.INVALID_ARGUMENT


def spec_of(request) -> model_pb2.ModelSpec:
    """Returns the request's `model_spec`, or raises if it has none."""
    if not request.HasField("model_spec"):
        raise ServingError(_INVALID, "Missing ModelSpec")
    return request.model_spec


def version_of(spec: model_pb2.ModelSpec) -> int | str | None:
    """Returns the version or label that a spec asks for, None for the latest version.

    Raises:
        ServingError: The spec names no model.
    """
    if not spec.name:
        raise ServingError(_INVALID, "ModelSpec has no name specified.")
    if spec.WhichOneof("version_choice") == "version_label":
        return spec.version_label
    return spec.version.value if spec.HasField("version") else None


def check_metadata_fields(request: get_model_metadata_pb2.GetModelMetadataRequest) -> None:
    """Raises INVALID_ARGUMENT unless the signatures, and nothing else, are asked for."""
    if not request.metadata_field:
        raise ServingError(
            _INVALID, "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != "signature_def":
            raise ServingError(_INVALID, f"Metadata field {field} is not supported")


def metadata(
    name: str, version: int, session: Servable
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns all signatures of a version, as a `SignatureDefMap` in an `Any`."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in session.signatures.items():
        signatures.signature_def[key].CopyFrom(signature)
        signatures.signature_def[key].ClearField("defaults")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = name
    response.model_spec.version.value = version
    response.metadata["signature_def"].Pack(signatures)
    return response


def status(
    manager: Manager, spec: model_pb2.ModelSpec
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the state of each known version, highest first; a label is ignored."""
    response = get_model_status_pb2.GetModelStatusResponse()
    number = spec.version.value if spec.HasField("version") else None
    for version in manager.status(spec.name, number):
        entry = response.model_version_status.add(version=version.number)
        entry.state = version.state.value
        entry.status.error_code = version.error.code.value[0] if version.error else 0
        entry.status.error_message = version.error.message if version.error else ""
    return response
