"""The gRPC front: services and status codes over the functions that do the work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.errors import ServingError, UserError
from serving.server.core import Core
from serving.server.peers import FORWARDED
from serving.server.thread_pool import GrowingPool

log = logging.getLogger(__name__)

_PREDICTION_SERVICE = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"]
_MODEL_SERVICE = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
# Seconds; a longer time is none.
_LONGEST_TIME = 1e9
_LARGEST_MESSAGE = 2**31 - 1
# Bytes: a client takes 8 KiB of headers, in which each byte may become three.
_LONGEST_TEXT = 1024


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        observed = self._core.observed("Predict", "GRPC", context.peer)
        return _answer(
            lambda: self._core.predict(request, _seconds_left(context)), observed, context
        )

    def Classify(
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        observed = self._core.observed("Classify", "GRPC", context.peer)
        return _answer(
            lambda: self._core.classify(request, _seconds_left(context)), observed, context
        )

    def Regress(
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        observed = self._core.observed("Regress", "GRPC", context.peer)
        return _answer(
            lambda: self._core.regress(request, _seconds_left(context)), observed, context
        )

    def MultiInference(
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        observed = self._core.observed("MultiInference", "GRPC", context.peer)
        return _answer(
            lambda: self._core.multi_inference(request, _seconds_left(context)),
            observed,
            context,
        )

    def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        observed = self._core.observed("GetModelMetadata", "GRPC", context.peer)
        return _answer(lambda: self._core.metadata(request), observed, context)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def GetModelStatus(
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        observed = self._core.observed("GetModelStatus", "GRPC", context.peer)
        return _answer(lambda: self._core.status(request), observed, context)

    def HandleReloadConfigRequest(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        context: grpc.ServicerContext,
    ) -> model_management_pb2.ReloadConfigResponse:
        forwarded = FORWARDED in context.invocation_metadata()
        observed = self._core.observed("HandleReloadConfigRequest", "GRPC", context.peer)
        return _answer(
            lambda: self._core.reload(
                request,
                _seconds_left(context),
                forwarded=forwarded,
                wanted=context.is_active,
            ),
            observed,
            context,
        )


@dataclass(frozen=True)
class Listeners:
    """Where to answer.

    Attributes:
        port: TCP port on all interfaces; 0 takes a free one, None takes none.
        socket_path: UNIX socket; empty for none.
        private_socket_path: Another one, never encrypted, for processes of the same server.
        reuse_port: Whether other processes may answer on the same port.
    """

    port: int | None = 0
    socket_path: str = ""
    private_socket_path: str = ""
    reuse_port: bool = False


def serve(
    core: Core,
    listeners: Listeners,
    *,
    threads: int,
    credentials: grpc.ServerCredentials | None = None,
    options: Sequence[tuple[str, int | str]] = (),
    health: bool = False,
) -> tuple[grpc.Server, int]:
    """Binds, starts to answer, and returns the server with the TCP port it got, if any.

    Args:
        core: What answers.
        listeners: Where.
        threads: Requests worked on at the same time.
        credentials: Certificate and key; None answers unencrypted.
        options: Channel arguments of gRPC.
        health: Whether grpc.health.v1.Health answers, too.

    Raises:
        UserError: An address is taken or not allowed, or the certificate is damaged.
    """
    server = grpc.server(
        GrowingPool(threads, name="grpc"),  # type: ignore[arg-type]
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            # Two servers must not share a port unnoticed.
            ("grpc.so_reuseport", int(listeners.reuse_port)),
            *options,
        ],
    )
    server.add_generic_rpc_handlers(
        [
            _handlers(_PREDICTION_SERVICE, PredictionService(core)),
            _handlers(_MODEL_SERVICE, ModelService(core)),
        ]
    )
    if health:
        servicer = HealthServicer()
        for service in ("", "ModelService", "PredictionService"):
            servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = 0
    if listeners.port is not None:
        port = _bind(server, f"0.0.0.0:{listeners.port}", credentials, f"port {listeners.port}")
    for path, secret in (
        (listeners.socket_path, credentials),
        (listeners.private_socket_path, None),
    ):
        if path:
            _bind(server, f"unix:{path}", secret, f"the UNIX socket {path}")
    server.start()
    return server, port


def credentials(ssl: Any) -> grpc.ServerCredentials:
    """Returns what an `SSLConfig` says: TLS, and with `client_verify` for both sides."""
    return grpc.ssl_server_credentials(
        [(ssl.server_key.encode(), ssl.server_cert.encode())],
        root_certificates=ssl.custom_ca.encode() or None,
        require_client_auth=ssl.client_verify,
    )


def _handlers(service: ServiceDescriptor, servicer: Any) -> grpc.GenericRpcHandler:
    """Returns handlers that read the messages themselves.

    Where gRPC reads one that cannot be read, it logs a traceback and loses some memory for good.
    """
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {
            method.name: grpc.unary_unary_rpc_method_handler(
                _reading(getattr(servicer, method.name), GetMessageClass(method.input_type)),
                response_serializer=GetMessageClass(method.output_type).SerializeToString,
            )
            for method in service.methods
        },
    )


def _reading(
    answer: Callable[[Any, grpc.ServicerContext], Any], kind: type[Message]
) -> Callable[[bytes, grpc.ServicerContext], Any]:
    def read_and_answer(content: bytes, context: grpc.ServicerContext) -> Any:
        try:
            request = kind.FromString(content)
        except DecodeError as error:
            context.abort(grpc.StatusCode.INTERNAL, str(error))
        return answer(request, context)

    return read_and_answer


def _bind(
    server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None, what: str
) -> int:
    try:
        if credentials:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError as error:
        reason = "it is in use or not allowed"
        if credentials:
            reason += ", or the certificate and its key do not fit together"
        raise UserError(f"{what} cannot be bound: {reason}; choose another one") from error


def _seconds_left(context: grpc.ServicerContext) -> float | None:
    """Returns the time until a call's deadline; None without one, which gRPC takes for 10^18."""
    left = context.time_remaining()
    return left if left is not None and left < _LONGEST_TIME else None


def _answer(
    answer: Callable[[], Any],
    observed: AbstractContextManager[object],
    context: grpc.ServicerContext,
) -> Any:
    """Returns the answer, or ends the call with the error's code and text."""
    try:
        with observed:
            return answer()
    except ServingError as error:
        context.abort(error.code, _shortened(error.message))
    except Exception as error:
        log.exception("a request failed unexpectedly")
        text = f"{type(error).__name__}: {error}"
        context.abort(grpc.StatusCode.INTERNAL, _shortened(text))


def _shortened(text: str) -> str:
    encoded = text.encode(errors="replace")
    if len(encoded) <= _LONGEST_TEXT:
        return encoded.decode()
    return f"{encoded[:_LONGEST_TEXT].decode(errors='ignore')}...TRUNCATED"
