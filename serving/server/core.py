"""The server core, which both transports call: request messages in, response messages out.

Counterpart: tensorflow_serving/model_servers/server_core.cc.
"""

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
from serving.server.handlers.classify_regress import classify, regress
from serving.server.handlers.metadata import check_fields, metadata
from serving.server.handlers.multi_inference import multi_inference
from serving.server.handlers.predict import predict
from serving.server.lifecycle.manager import Manager
from serving.server.lifecycle.model_configs import models_of
from serving.server.lifecycle.served_model import Lease
from serving.server.lifecycle.status import status
from serving.server.monitoring import observation
from serving.server.monitoring.observation import Observation, Observed
from serving.server.monitoring.request_log import RequestLog
from serving.server.peers import Peers

log = logging.getLogger(__name__)

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
# Errors of a reload whose configuration is in force nevertheless.
_IN_FORCE_DESPITE = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
# Seconds for forwarding a reload to the other processes after its own deadline.
_MIN_FORWARD_SECONDS = 2.0
_UNOBSERVED: AbstractContextManager[None] = nullcontext()


class Core:
    """The services of TensorFlow Serving, as functions of their messages.

    Every method raises ServingError with TensorFlow Serving's code and text.

    Args:
        manager: Provides the versions that answer.
        peers: The other processes of this server.
        check_method_name: Whether signatures must be declared for the methods that run them.
        tensor_content: Whether Predict answers with `tensor_content` instead of typed fields.
        observers: Called with each request when it has ended.
        request_log: Gets requests with their responses; None for none.
    """

    def __init__(
        self,
        manager: Manager,
        peers: Peers | None = None,
        *,
        check_method_name: bool = False,
        tensor_content: bool = False,
        observers: Sequence[Callable[[Observation], None]] = (),
        request_log: RequestLog | None = None,
    ) -> None:
        self._manager = manager
        self._request_log = request_log
        self._peers = peers
        self._check_method_name = check_method_name
        self._tensor_content = tensor_content
        self._observers = tuple(observers)

    def observed(
        self, api: str, entrypoint: str, peer: Callable[[], str]
    ) -> AbstractContextManager[Observation | None]:
        """Returns a context for answering a request; observers are called at its end.

        Args:
            api: The method: Predict, GetModelStatus …
            entrypoint: GRPC or REST.
            peer: Returns the address of the caller.
        """
        if not self._observers:
            return _UNOBSERVED
        return Observed(Observation(api, entrypoint, peer), self._notify_observers)

    def _notify_observers(self, request: Observation) -> None:
        for observe in self._observers:
            try:
                observe(request)
            except Exception:
                log.exception("an answered request could not be counted or logged")

    def _acquire(self, spec: model_pb2.ModelSpec) -> Lease:
        """Returns a context for using the version that a spec asks for."""
        observation.record_spec(spec.name, spec.version_label, spec.signature_name)
        return self._manager.acquire(spec.name, version_of(spec))

    def predict(
        self, request: predict_pb2.PredictRequest, timeout: float | None = None
    ) -> predict_pb2.PredictResponse:
        """Runs a signature on tensors; `timeout` is the time left, in seconds."""
        return self._answer(
            "predict_log", predict, request, timeout, tensor_content=self._tensor_content
        )

    def classify(
        self, request: classification_pb2.ClassificationRequest, timeout: float | None = None
    ) -> Any:
        """Runs a signature on examples and returns classes; `timeout` as for `predict`."""
        return self._answer("classify_log", classify, request, timeout)

    def regress(
        self, request: regression_pb2.RegressionRequest, timeout: float | None = None
    ) -> Any:
        """Runs a signature on examples and returns values; `timeout` as for `predict`."""
        return self._answer("regress_log", regress, request, timeout)

    def _answer(
        self,
        kind: str,
        infer: Callable[..., Any],
        request: Any,
        timeout: float | None,
        **options: bool,
    ) -> Any:
        """Runs one signature of the version that a request asks for; the response names both."""
        spec = spec_of(request)
        with self._acquire(spec) as (number, session):
            response = infer(
                observation.timed(session, number),
                request,
                timeout,
                check_method_name=self._check_method_name,
                **options,
            )
        response.model_spec.name = spec.name
        response.model_spec.version.value = number
        self._log(kind, spec.name, number, request, response)
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, timeout: float | None = None
    ) -> Any:
        """Runs several signatures of the version that the first task asks for."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._acquire(spec) as (number, session):
            session = observation.timed(session, number)
            response = multi_inference(
                session, request, timeout, check_method_name=self._check_method_name
            )
        for result in response.results:
            result.model_spec.version.value = number
        self._log("multi_inference_log", spec.name, number, request, response)
        return response

    def _log(self, kind: str, model: str, version: int, request: Any, response: Any) -> None:
        if self._request_log:
            try:
                self._request_log.write(kind, model, version, request, response)
            except Exception:
                log.exception("an answered request could not be logged")

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures of a version."""
        spec = spec_of(request)
        check_fields(request)
        with self._acquire(spec) as (number, session):
            session = observation.timed(session, number)
            return metadata(spec.name, number, session)

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state of each version that the server serves or has served."""
        spec = spec_of(request)
        observation.record(model=spec.name)
        return status(self._manager, spec)

    def reload(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        timeout: float | None = None,
        *,
        forwarded: bool = False,
        is_active: Callable[[], bool] = lambda: True,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of a configuration and no others; waits for the new ones.

        The request is forwarded to the other processes of this server, also if a model could not
        be loaded, or not in time, as all others are served then.

        Args:
            request: The configuration.
            timeout: Seconds to wait; None for as long as it takes.
            forwarded: Whether another process of this server has forwarded the request.
            is_active: Whether the caller still waits; the wait ends when it does not.
        """
        if request.config.WhichOneof("config") != "model_config_list":
            raise ServingError(
                _INVALID,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        failure = None
        try:
            self.configure(request.config, timeout, is_active)
        except ServingError as error:
            if error.code not in _IN_FORCE_DESPITE:
                raise
            failure = error
        if self._peers and not forwarded:
            left = (
                None if deadline is None else max(_MIN_FORWARD_SECONDS, deadline - time.monotonic())
            )
            try:
                self._peers.reload(request, left, is_active)
            except ServingError as error:
                failure = failure or error
        if failure:
            raise failure
        return model_management_pb2.ReloadConfigResponse(status={})

    def configure(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        timeout: float | None = None,
        is_active: Callable[[], bool] = lambda: True,
        *,
        check_labels: bool = True,
    ) -> None:
        """Serves the models of a configuration and no others, in this process; see `reload`."""
        models = models_of(config, self._manager.models())
        if self._request_log:
            self._request_log.check(config)
        in_force = False
        try:
            self._manager.reload(models, timeout, is_active, check_labels=check_labels)
            in_force = True
        except ServingError as error:
            in_force = error.code in _IN_FORCE_DESPITE
            raise
        finally:
            if in_force and self._request_log:
                self._request_log.update(config)

    def signatures(self, spec: model_pb2.ModelSpec) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Returns the signatures, by key, of the version that a spec asks for."""
        with self._manager.acquire(spec.name, version_of(spec)) as (_, session):
            return session.signatures


def spec_of(request: Any) -> model_pb2.ModelSpec:
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
