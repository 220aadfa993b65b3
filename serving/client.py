"""A client of TensorFlow Serving's gRPC API: NumPy in, NumPy out, no TensorFlow.

>>> from serving.client import Client
>>> with Client("localhost:8500") as client:
...     client.predict("digits", {"images": images})["classes"]

It needs grpcio, protobuf and numpy, and answers a second after its process starts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from serving import messages, tensors
from serving.errors import ServingError

_PREDICTION = "/tensorflow.serving.PredictionService"
_MODEL = "/tensorflow.serving.ModelService"
_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
_UNLIMITED = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


@dataclass(frozen=True)
class VersionStatus:
    """State of a model version, with the server's text where something failed."""

    version: int
    state: str
    error: str


class Client:
    """A connection to a model server; threads may share it.

    Args:
        address: "host:port".
        timeout: Seconds to wait for an answer, unless a call says otherwise.
    """

    def __init__(self, address: str = "localhost:8500", *, timeout: float = 30.0) -> None:
        self._timeout = timeout
        self._channel = grpc.insecure_channel(address, options=_UNLIMITED)
        self._predict = self._call(
            f"{_PREDICTION}/Predict", messages.PredictRequest, messages.PredictResponse
        )
        self._metadata = self._call(
            f"{_PREDICTION}/GetModelMetadata",
            messages.GetModelMetadataRequest,
            messages.GetModelMetadataResponse,
        )
        self._status = self._call(
            f"{_MODEL}/GetModelStatus",
            messages.GetModelStatusRequest,
            messages.GetModelStatusResponse,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        signature: str = "",
        version: int | None = None,
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Asks a model for an answer.

        Args:
            model: Served name.
            inputs: Array, or what NumPy makes one of, for each input of the signature. Their
                dtypes must be the signature's; strings are `str` or `bytes`.
            signature: Key of the signature; empty takes `serving_default`.
            version: Version; None leaves the choice to the server.
            outputs: Names of the outputs to return; empty returns all.
            timeout: Seconds to wait, instead of the client's.

        Returns:
            An array for each output; strings come as `bytes` in an object array.

        Raises:
            ServingError: The server refused, failed, or could not be reached in time.
        """
        request = messages.PredictRequest(output_filter=outputs)
        self._name(request, model, version)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            tensors.encode(request.inputs[name], _array(value))
        response = self._ask(self._predict, request, timeout)
        return {name: tensors.decode(proto) for name, proto in response.outputs.items()}

    def metadata(self, model: str, *, version: int | None = None) -> dict[str, Any]:
        """Returns the signatures of a model as `SignatureDef` messages by key.

        Raises:
            ServingError: As `predict`.
        """
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._name(request, model, version)
        response = self._ask(self._metadata, request, None)
        signatures = messages.SignatureDefMap.FromString(response.metadata["signature_def"].value)
        return dict(signatures.signature_def)

    def status(
        self, model: str, *, version: int | None = None, timeout: float | None = None
    ) -> list[VersionStatus]:
        """Returns the state of each version that the server knows, highest first.

        Raises:
            ServingError: As `predict`.
        """
        request = messages.GetModelStatusRequest()
        self._name(request, model, version)
        response = self._ask(self._status, request, timeout)
        return [
            VersionStatus(entry.version, _STATES[entry.state], entry.status.error_message)
            for entry in response.model_version_status
        ]

    def wait_until_ready(
        self, model: str, *, version: int | None = None, timeout: float = 60.0
    ) -> int:
        """Waits until a version is available and returns its number.

        Raises:
            ServingError: The last answer, when `timeout` seconds have passed; at once if the
                version failed to load.
        """
        deadline = time.monotonic() + timeout
        waiting = (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )
        while True:
            left = min(self._timeout, max(deadline - time.monotonic(), 0.1))
            try:
                states = self.status(model, version=version, timeout=left)
                problem = ServingError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"no version of {model} is available: "
                    + ", ".join(f"{s.version} {s.state} {s.error}".strip() for s in states),
                )
            except ServingError as error:
                if error.code not in waiting:
                    raise
                states, problem = [], error
            for entry in states:
                if entry.state == "AVAILABLE":
                    return entry.version
            if version is not None and any(s.state == "END" for s in states):
                raise problem
            if time.monotonic() > deadline:
                raise problem
            time.sleep(0.1)

    def _call(self, method: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            method,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    @staticmethod
    def _name(request: Any, model: str, version: int | None) -> None:
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version

    def _ask(self, call: Any, request: Any, timeout: float | None) -> Any:
        try:
            return call(request, timeout=self._timeout if timeout is None else timeout)
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details() or "") from error


def _array(value: Any) -> np.ndarray:
    """Returns an array; strings stay whole, of which NumPy's own type cuts zero bytes off."""
    first = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    return np.array(value, object) if isinstance(first, (str, bytes)) else np.asarray(value)
