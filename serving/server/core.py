"""What both fronts call: requests in, responses out, whatever transport brought them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import ServingError
from serving.server.handlers import classify_regress
from serving.server.handlers import metadata as models
from serving.server.handlers.predict import predict
from serving.server.lifecycle.manager import Lease, Manager
from serving.server.lifecycle.model_configs import models_of
from serving.server.monitoring import observation as observing
from serving.server.monitoring.observation import Observation, Observed
from serving.server.peers import Peers

log = logging.getLogger(__name__)

# Refusals of a reload after which its configuration is in force.
_CHANGED_ALL_THE_SAME = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
# Others get this time to hear of a reload whose own time is over.
_TELLING_SECONDS = 2.0
_UNOBSERVED: AbstractContextManager[None] = nullcontext()


class Core:
    """The services of TensorFlow Serving, as functions of their messages.

    Every method raises ServingError with TensorFlow Serving's code and text.

    Args:
        manager: Hands out the versions that answer.
        peers: The other processes of this server.
        check_method_name: Whether signatures must be declared for the method that runs them.
        tensor_content: Whether Predict answers with `tensor_content` and not with typed fields.
        observers: Told of each request when it has ended.
    """

    def __init__(
        self,
        manager: Manager,
        peers: Peers | None = None,
        *,
        check_method_name: bool = False,
        tensor_content: bool = False,
        observers: Sequence[Callable[[Observation], None]] = (),
    ) -> None:
        self._manager = manager
        self._peers = peers
        self._check_method_name = check_method_name
        self._tensor_content = tensor_content
        self._observers = tuple(observers)

    def observed(
        self, api: str, entrypoint: str, peer: Callable[[], str]
    ) -> AbstractContextManager[Observation | None]:
        """Returns a context in which a request is answered, and after which observers know of it.

        Args:
            api: The method: Predict, GetModelStatus …
            entrypoint: GRPC or REST.
            peer: Returns who called.
        """
        if not self._observers:
            return _UNOBSERVED
        return Observed(Observation(api, entrypoint, peer), self._tell)

    def _tell(self, observation: Observation) -> None:
        for observe in self._observers:
            try:
                observe(observation)
            except Exception:
                log.exception("a request was answered, but could not be told of")

    def _acquire(self, spec: model_pb2.ModelSpec) -> Lease:
        """Returns a context in which the version that a spec asks for may be used."""
        observing.note_spec(spec.name, spec.version_label, spec.signature_name)
        return self._manager.acquire(spec.name, models.version_of(spec))

    def predict(
        self, request: predict_pb2.PredictRequest, timeout: float | None = None
    ) -> predict_pb2.PredictResponse:
        """Runs a signature on tensors; `timeout` is the time left, in seconds."""
        return self._answer(predict, request, timeout, tensor_content=self._tensor_content)

    def classify(
        self, request: classification_pb2.ClassificationRequest, timeout: float | None = None
    ) -> classification_pb2.ClassificationResponse:
        """Runs a signature on examples and returns classes; `timeout` as for `predict`."""
        return self._answer(classify_regress.classify, request, timeout)

    def regress(
        self, request: regression_pb2.RegressionRequest, timeout: float | None = None
    ) -> regression_pb2.RegressionResponse:
        """Runs a signature on examples and returns values; `timeout` as for `predict`."""
        return self._answer(classify_regress.regress, request, timeout)

    def _answer(
        self,
        infer: Callable[..., Any],
        request: Any,
        timeout: float | None,
        **options: bool,
    ) -> Any:
        """Runs one signature of the version that a request asks for, which the answer names."""
        spec = models.spec_of(request)
        with self._acquire(spec) as (number, session):
            response = infer(
                observing.timed(session, number),
                request,
                timeout,
                check_method_name=self._check_method_name,
                **options,
            )
        response.model_spec.name = spec.name
        response.model_spec.version.value = number
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, timeout: float | None = None
    ) -> inference_pb2.MultiInferenceResponse:
        """Runs several signatures of the version that the first task asks for."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._acquire(spec) as (number, session):
            session = observing.timed(session, number)
            response = classify_regress.multi_inference(
                session, request, timeout, check_method_name=self._check_method_name
            )
        for result in response.results:
            result.model_spec.version.value = number
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures of a version."""
        spec = models.spec_of(request)
        models.check_metadata_fields(request)
        with self._acquire(spec) as (number, session):
            session = observing.timed(session, number)
            return models.metadata(spec.name, number, session)

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state of each version that the server knows or knew."""
        spec = models.spec_of(request)
        observing.note(model=spec.name)
        return models.status(self._manager, spec)

    def reload(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        timeout: float | None = None,
        *,
        forwarded: bool = False,
        wanted: Callable[[], bool] = lambda: True,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of a configuration and no others; waits for the new ones.

        The other processes of this server do the same, unless one of them has `forwarded` it;
        also if a model could not be loaded, or not in time, as all others are served then.
        Nobody waits on if the answer is `wanted` no more.
        """
        if request.config.WhichOneof("config") != "model_config_list":
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        failure = None
        try:
            self.configure(request.config, timeout, wanted)
        except ServingError as error:
            if error.code not in _CHANGED_ALL_THE_SAME:
                raise
            failure = error
        if self._peers and not forwarded:
            left = None if deadline is None else max(_TELLING_SECONDS, deadline - time.monotonic())
            try:
                self._peers.reload(request, left, wanted)
            except ServingError as error:
                failure = failure or error
        if failure:
            raise failure
        return model_management_pb2.ReloadConfigResponse(status={})

    def configure(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        timeout: float | None = None,
        wanted: Callable[[], bool] = lambda: True,
        *,
        check_labels: bool = True,
    ) -> None:
        """Serves the models of a configuration and no others, in this process."""
        listed = models_of(config, self._manager.models())
        self._manager.reload(listed, timeout, wanted, check_labels=check_labels)

    def signatures(self, spec: model_pb2.ModelSpec) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Returns the signatures, by key, of the version that a spec asks for."""
        with self._manager.acquire(spec.name, models.version_of(spec)) as (_, session):
            return session.signatures
