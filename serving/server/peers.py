"""What the worker processes of one server tell each other, by files and sockets in a folder."""

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

# Marks a request that another worker has passed on, which is passed on no further.
FORWARDED = ("foundry-forwarded", "1")
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Peers:
    """The workers of this server.

    Attributes:
        folder: What they share, for as long as the server runs.
        index: Which of them this process is, from 0.
        count: How many there are.
    """

    folder: Path
    index: int
    count: int

    def socket_path(self, index: int | None = None) -> str:
        """Returns the private UNIX socket of a worker; empty if there is but one worker."""
        if self.count == 1:
            return ""
        return str(self.folder / f"{self.index if index is None else index}.sock")

    def config(self) -> model_server_config_pb2.ModelServerConfig | None:
        """Returns the configuration that was loaded last by a request, if there was one."""
        path = self.folder / "models.config"
        if not path.exists():
            return None
        return model_server_config_pb2.ModelServerConfig.FromString(path.read_bytes())

    def note_ready(self) -> None:
        """Notes that this worker answers, for the one that may have to take its place."""
        self._ready_file().touch()

    def was_ready(self) -> bool:
        """Whether this worker takes the place of one that answered."""
        return self._ready_file().exists()

    def _ready_file(self) -> Path:
        return self.folder / f"{self.index}.ready"

    def reload(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        timeout: float | None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Has the others load a configuration, and those that start later.

        Raises:
            ServingError: One of them refused or failed; all of them were asked.
        """
        # Reloads may come at the same time.
        descriptor, partial = tempfile.mkstemp(dir=self.folder, prefix=".models.config.")
        with open(descriptor, "wb") as file:
            file.write(request.config.SerializeToString())
        os.replace(partial, self.folder / "models.config")
        others = [index for index in range(self.count) if index != self.index]
        with_channels = [
            grpc.insecure_channel(f"unix:{self.socket_path(index)}") for index in others
        ]
        calls = [
            model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest.future(
                request, timeout=timeout, metadata=[FORWARDED]
            )
            for channel in with_channels
        ]
        failures = [failure for call in calls if (failure := _failure(call, wanted))]
        for channel in with_channels:
            channel.close()
        if failures:
            raise failures[0]


def _failure(call: Any, wanted: Callable[[], bool]) -> ServingError | None:
    """Returns why a call has failed, if it has; cancels it when its answer is wanted no more."""
    while True:
        try:
            call.result(timeout=_LOOK_SECONDS)
            return None
        except grpc.FutureTimeoutError:
            if not wanted():
                call.cancel()
                return ServingError(grpc.StatusCode.CANCELLED, "The client has left")
        except grpc.RpcError as error:
            # One that is not there reads the file when it starts.
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return None
            return ServingError(error.code(), error.details() or "")
