"""What both fronts call: requests in, responses out, whatever transport brought them."""

from __future__ import annotations

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
)

from serving.errors import ServingError
from serving.server import models
from serving.server.manager import Manager
from serving.server.model_configs import models_of
from serving.server.predict import predict


class Core:
    """The services of TensorFlow Serving, as functions of their messages.

    Every method raises ServingError with TensorFlow Serving's code and text.

    Args:
        manager: Hands out the versions that answer.
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def predict(
        self, request: predict_pb2.PredictRequest, timeout: float | None = None
    ) -> predict_pb2.PredictResponse:
        """Runs a signature on tensors; `timeout` is the time left, in seconds."""
        spec = models.spec_of(request)
        with self._manager.acquire(spec.name, models.version_of(spec)) as (number, session):
            response = predict(session, request, timeout)
        response.model_spec.name = spec.name
        response.model_spec.version.value = number
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures of a version."""
        spec = models.spec_of(request)
        models.check_metadata_fields(request)
        with self._manager.acquire(spec.name, models.version_of(spec)) as (number, session):
            return models.metadata(spec.name, number, session)

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state of each version that the server knows or knew."""
        return models.status(self._manager, models.spec_of(request))

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest, timeout: float | None = None
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of a configuration and no others; waits for the new ones."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        self._manager.reload(models_of(request.config, self._manager.models()), timeout)
        return model_management_pb2.ReloadConfigResponse(status={})

    def signatures(self, spec: model_pb2.ModelSpec) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Returns the signatures, by key, of the version that a spec asks for."""
        with self._manager.acquire(spec.name, models.version_of(spec)) as (_, session):
            return session.signatures
