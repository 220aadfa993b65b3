"""GetModelStatus: the state of each version of a model.

Counterpart: tensorflow_serving/model_servers/get_model_status_impl.cc.
"""

from __future__ import annotations

from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving.server.lifecycle.manager import Manager


def status(
    manager: Manager, spec: model_pb2.ModelSpec
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the state of each known version, highest first; a label is ignored.

    Raises:
        ServingError: NOT_FOUND.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    number = spec.version.value if spec.HasField("version") else None
    for version in manager.status(spec.name, number):
        entry = response.model_version_status.add(version=version.number)
        entry.state = version.state.value
        entry.status.error_code = version.error.code.value[0] if version.error else 0
        entry.status.error_message = version.error.message if version.error else ""
    return response
