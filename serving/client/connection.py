"""The connection of a client: a gRPC channel and the RPCs of the API over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import grpc

from serving.client import channel
from serving.client.channel import TLS
from serving.client.methods import METHODS
from serving.client.operations import Request, Settings
from serving.client.traffic import Split


class Connection:
    """What `Client` and `AsyncClient` share: their arguments, which `Client` documents."""

    _grpc: ClassVar[Any] = grpc
    """The module that makes channels: `grpc` or `grpc.aio`."""

    def __init__(
        self,
        address: str | Sequence[str] = "localhost:8500",
        *,
        timeout: float = 30.0,
        label: str | None = None,
        labels: Mapping[str, float] | None = None,
        seed: int = 0,
        attempts: int = 5,
        tls: TLS | None = None,
    ) -> None:
        self._settings = Settings(timeout, Split.of(label, labels, seed))
        target = channel.target(address, tls)
        options = channel.options(attempts, tls)
        self._channel = (
            self._grpc.insecure_channel(target, options)
            if tls is None
            else self._grpc.secure_channel(target, tls.credentials(), options)
        )
        self._methods = {
            method: self._channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            for method in METHODS
        }

    def _start(self, request: Request) -> Any:
        """Sends a request; returns the response, or with `grpc.aio` what it is awaited from."""
        timeout = self._settings.timeout if request.timeout is None else request.timeout
        return self._methods[request.call.method](request.call.request, timeout=timeout)
