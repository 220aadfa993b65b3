"""The gRPC services: methods, status codes, deadlines and addresses over the server core.

Counterparts: tensorflow_serving/model_servers/prediction_service_impl.cc, model_service_impl.cc
and server.cc.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import HealthServicer
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

from serving.errors import ServingError, UserError
from serving.server import reflection
from serving.server.arrivals import Arrivals
from serving.server.core import Core
from serving.server.handlers.predict import TOO_LARGE
from serving.server.peers import FORWARDED
from serving.server.thread_pool import GrowingPool

log = logging.getLogger(__name__)

_SERVICES = (
    prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
)
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
# Watchers of the health, of all calls, whose requests are awaited at the same time.
_STREAMS = 16
# Seconds; a longer time counts as no deadline.
_MAX_SECONDS = 1e9
_MAX_MESSAGE_BYTES = 2**31 - 1
# A client accepts 8 KiB of headers, in which each byte may become three.
_MAX_TEXT_BYTES = 1024

# The methods of each service.
_METHODS: dict[str, dict[str, Callable[[Core, Any, grpc.ServicerContext], Message]]] = {
    "PredictionService": {
        "Predict": lambda core, request, call: core.predict(request, _seconds_left(call)),
        "Classify": lambda core, request, call: core.classify(request, _seconds_left(call)),
        "Regress": lambda core, request, call: core.regress(request, _seconds_left(call)),
        "MultiInference": lambda core, request, call: core.multi_inference(
            request, _seconds_left(call)
        ),
        "GetModelMetadata": lambda core, request, call: core.metadata(request),
    },
    "ModelService": {
        "GetModelStatus": lambda core, request, call: core.status(request),
        "HandleReloadConfigRequest": lambda core, request, call: core.reload(
            request,
            _seconds_left(call),
            forwarded=FORWARDED in call.invocation_metadata(),
            is_active=call.is_active,
        ),
    },
}


@dataclass(frozen=True)
class Listeners:
    """The addresses to listen on.

    Attributes:
        port: TCP port; 0 for any free one, None for none.
        socket_path: UNIX socket; empty for none.
        private_socket_path: Another one, never encrypted, for the other processes of this server.
        reuse_port: Whether other processes may listen on the same port.
        host: IP address of the interface of the port; 0.0.0.0 for all of them.
    """

    port: int | None = 0
    socket_path: str = ""
    private_socket_path: str = ""
    reuse_port: bool = False
    host: str = "0.0.0.0"

    @property
    def address(self) -> str:
        """HOST:PORT, with an address of IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def serve(
    core: Core,
    listeners: Listeners,
    *,
    threads: int,
    credentials: grpc.ServerCredentials | None = None,
    options: Sequence[tuple[str, int | str]] = (),
    health: bool = False,
) -> tuple[grpc.Server, int]:
    """Starts a gRPC server; returns it with its TCP port, 0 if it has none.

    Args:
        core: The server core.
        listeners: Where to listen.
        threads: Number of requests processed at the same time.
        credentials: Certificate and key; None for no encryption.
        options: Channel arguments of gRPC.
        health: Whether grpc.health.v1.Health is served as well.

    Raises:
        UserError: An address is in use or not allowed, or the certificate is invalid.
    """
    chosen = {  # Of an option that is given twice, gRPC would take the first.
        "grpc.max_receive_message_length": _MAX_MESSAGE_BYTES,
        "grpc.max_send_message_length": _MAX_MESSAGE_BYTES,
        **dict(options),
        # Two servers must not share a port by accident.
        "grpc.so_reuseport": int(listeners.reuse_port),
    }
    pool = GrowingPool(threads, name="grpc")
    arrivals = Arrivals(pool)
    server = grpc.server(
        pool,  # type: ignore[arg-type]
        options=list(chosen.items()),
    )
    server.add_generic_rpc_handlers([_handlers(service, core, arrivals) for service in _SERVICES])
    names = [service.full_name for service in _SERVICES]
    if health:
        names.append(_HEALTH.full_name)
        server.add_generic_rpc_handlers([_health(arrivals)])
    server.add_generic_rpc_handlers(reflection.handlers(names))
    port = 0
    if listeners.port is not None:
        port = _bind(server, listeners.address, credentials, f"port {listeners.port}")
    for path, secret in (
        (listeners.socket_path, credentials),
        (listeners.private_socket_path, None),
    ):
        if path:
            _bind(server, f"unix:{path}", secret, f"the UNIX socket {path}")
    server.start()
    return server, port


def _health(arrivals: Arrivals) -> grpc.GenericRpcHandler:
    """Returns the health service, by which the server is well as long as it answers."""
    streams = futures.ThreadPoolExecutor(_STREAMS, thread_name_prefix="health")
    servicer = HealthServicer(experimental_thread_pool=streams)
    for service in ("", "ModelService", "PredictionService"):
        servicer.set(service, health_pb2.HealthCheckResponse.SERVING)

    def check(requests: Iterator[Any], call: grpc.ServicerContext) -> Any:
        return servicer.Check(arrivals.message(requests, call), call)

    read = health_pb2.HealthCheckRequest.FromString
    write = health_pb2.HealthCheckResponse.SerializeToString
    return grpc.method_handlers_generic_handler(
        _HEALTH.full_name,
        {
            "Check": grpc.stream_unary_rpc_method_handler(check, read, write),
            "Watch": grpc.unary_stream_rpc_method_handler(servicer.Watch, read, write),
        },
    )


def _handlers(service: ServiceDescriptor, core: Core, arrivals: Arrivals) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {
            method.name: grpc.stream_unary_rpc_method_handler(
                _handler(core, arrivals, method, _METHODS[service.name][method.name])
            )
            for method in service.methods
        },
    )


def _handler(
    core: Core,
    arrivals: Arrivals,
    method: MethodDescriptor,
    answer: Callable[[Core, Any, grpc.ServicerContext], Message],
) -> Callable[[Iterator[bytes], grpc.ServicerContext], bytes]:
    """Returns the handler of a method: from the bytes of a request to those of a response.

    It parses and serializes itself: where gRPC gets a request that cannot be parsed, it logs a
    traceback and leaks some memory, and the same for a response that is too large.
    """
    request_class = GetMessageClass(method.input_type)

    def handle(requests: Iterator[bytes], call: grpc.ServicerContext) -> bytes:
        content = arrivals.message(requests, call)
        try:
            request = request_class.FromString(content)
        except DecodeError as error:
            call.abort(grpc.StatusCode.INTERNAL, str(error))
        try:
            with core.observed(method.name, "GRPC", call.peer):
                return answer(core, request, call).SerializeToString()
        except EncodeError:
            call.abort(grpc.StatusCode.INTERNAL, TOO_LARGE)
        except ServingError as error:
            call.abort(error.code, _truncated(error.message))
        except Exception as error:
            log.exception("a request failed unexpectedly")
            text = f"{type(error).__name__}: {error}"
            call.abort(grpc.StatusCode.INTERNAL, _truncated(text))

    return handle


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
    """Returns the time until a call's deadline; None without one, for which gRPC has 10^18."""
    left = context.time_remaining()
    return left if left is not None and left < _MAX_SECONDS else None


def _truncated(text: str) -> str:
    encoded = text.encode(errors="replace")
    if len(encoded) <= _MAX_TEXT_BYTES:
        return encoded.decode()
    return f"{encoded[:_MAX_TEXT_BYTES].decode(errors='ignore')}...TRUNCATED"
