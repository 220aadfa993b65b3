"""The worker processes of one server and their messages, through files and sockets in a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import ServingError

# Metadata of a request that another worker has forwarded; it is not forwarded again.
FORWARDED = ("foundry-forwarded", "1")
_CHECK_SECONDS = 0.5


@dataclass(frozen=True)
class Peers:
    """The workers of this server.

    Attributes:
        folder: The folder that they share while the server runs.
        index: The index of this process, from 0.
        count: Number of workers.
    """

    folder: Path
    index: int
    count: int

    def socket_path(self, index: int | None = None) -> str:
        """Returns the private UNIX socket of a worker; empty if there is only one worker."""
        if self.count == 1:
            return ""
        return str(self.folder / f"{self.index if index is None else index}.sock")

    def config(self) -> model_server_config_pb2.ModelServerConfig | None:
        """Returns the configuration of the latest reload request, if there was one."""
        path = self.folder / "models.config"
        if not path.exists():
            return None
        return model_server_config_pb2.ModelServerConfig.FromString(path.read_bytes())

    def record_ready(self) -> None:
        """Records that this worker answers, for one that may replace it."""
        self._ready_file().touch()

    def was_ready(self) -> bool:
        """Whether this worker replaces one that answered."""
        return self._ready_file().exists()

    def _ready_file(self) -> Path:
        return self.folder / f"{self.index}.ready"

    def reload(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        timeout: float | None,
        is_active: Callable[[], bool] = lambda: True,
    ) -> None:
        """Forwards a configuration to the other workers, and keeps it for those that start later.

        Args:
            request: The configuration.
            timeout: Seconds to wait; None for as long as it takes.
            is_active: Whether the caller still waits; the calls are canceled when it does not.

        Raises:
            ServingError: The error of one of them; the request was sent to all.
        """
        # Reload requests may come at the same time.
        descriptor, partial = tempfile.mkstemp(dir=self.folder, prefix=".models.config.")
        with open(descriptor, "wb") as file:
            file.write(request.config.SerializeToString())
        os.replace(partial, self.folder / "models.config")
        others = [index for index in range(self.count) if index != self.index]
        channels = [grpc.insecure_channel(f"unix:{self.socket_path(index)}") for index in others]
        calls = [
            model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest.future(
                request, timeout=timeout, metadata=[FORWARDED]
            )
            for channel in channels
        ]
        failures = [failure for call in calls if (failure := _failure(call, is_active))]
        for channel in channels:
            channel.close()
        if failures:
            raise failures[0]


def _failure(call: Any, is_active: Callable[[], bool]) -> ServingError | None:
    """Waits for a call and returns its error, if any; cancels it when the caller has left."""
    while True:
        try:
            call.result(timeout=_CHECK_SECONDS)
            return None
        except grpc.FutureTimeoutError:
            if not is_active():
                call.cancel()
                return ServingError(grpc.StatusCode.CANCELLED, "The client has left")
        except grpc.RpcError as error:
            # A worker that is not running reads the file when it starts.
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return None
            return ServingError(error.code(), error.details() or "")
