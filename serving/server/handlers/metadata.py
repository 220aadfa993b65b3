"""GetModelMetadata: the signatures of a version.

Counterpart: tensorflow_serving/servables/tensorflow/get_model_metadata_impl.cc.
"""

from __future__ import annotations

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.errors import ServingError
from serving.server.servables.base import Servable


def check_fields(request: get_model_metadata_pb2.GetModelMetadataRequest) -> None:
    """Raises INVALID_ARGUMENT unless the signatures, and nothing else, are requested."""
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    if not request.metadata_field:
        raise ServingError(
            invalid, "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != "signature_def":
            raise ServingError(invalid, f"Metadata field {field} is not supported")


def metadata(
    name: str, version: int, session: Servable
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns all signatures of a version, as a `SignatureDefMap` in an `Any`."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in session.signatures.items():
        signatures.signature_def[key].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = name
    response.model_spec.version.value = version
    response.metadata["signature_def"].Pack(signatures)
    return response
