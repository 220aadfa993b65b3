"""A client of TensorFlow Serving's gRPC API: NumPy in, NumPy out, no TensorFlow.

>>> from serving.client import Client
>>> with Client("localhost:8500") as client:
...     client.predict("digits", {"images": images})["classes"]

It needs grpcio, protobuf and numpy, and answers a second after its process starts. For asyncio
there is `serving.client.AsyncClient` with the same methods.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import grpc
import numpy as np

from serving.client import calls, channel
from serving.client.calls import (
    Call,
    Classes,
    ModelConfig,
    Result,
    Signature,
    TensorInfo,
    VersionStatus,
)
from serving.client.channel import TLS
from serving.client.readiness import PAUSE, Waiting
from serving.client.traffic import Split
from serving.errors import ServingError
from serving.protocol.examples import example, image

__all__ = [
    "TLS",
    "Client",
    "ModelConfig",
    "ServingError",
    "Signature",
    "TensorInfo",
    "VersionStatus",
    "example",
    "image",
]


class Client:
    """A connection to a model server, or to several; threads may share it.

    A call that is answered with UNAVAILABLE, or does not reach a server, is sent again after a
    pause that grows, within the call's timeout; any other error is final. Several servers take
    turns, and one that is down is left out until it returns.

    Args:
        address: "host:port" or "unix:/path"; several as a list or separated by commas.
        timeout: Seconds to wait for an answer, unless a call says otherwise.
        label: Version label of the calls that name neither a version nor a label; empty for none.
            By default it is "stable" for the models whose server has that label, and none for
            others; which, is found out by asking, and again after ten seconds.
        labels: Labels by weight instead: each such call gets one of them. When the server does
            not know one, such as that of a canary that has ended, "stable" takes its calls, if it
            is among the labels.
        seed: Of that choice; see `serving.client.traffic.Split`.
        attempts: How often a call is sent at most, from 1 to 5.
        tls: Encryption; None for none.

    Raises:
        UserError: An address, a number of attempts or a file of `tls` that cannot work.
        ServingError: UNAVAILABLE, one of several hosts has no address.
        ValueError: `label` and `labels`, or weights that are none.
    """

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
        self._timeout = timeout
        self._split = Split.of(label, labels, seed)
        target = channel.target(address, tls)
        options = channel.options(attempts, tls)
        self._channel = (
            grpc.insecure_channel(target, options)
            if tls is None
            else grpc.secure_channel(target, tls.credentials(), options)
        )
        self._calls = {
            method: self._channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            for method in calls.METHODS
        }

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls that wait for an answer are cancelled."""
        self._channel.close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        signature: str = "",
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Asks a model for an answer.

        Args:
            model: Served name.
            inputs: Array, or what NumPy makes one of, for each input of the signature. Their
                dtypes must be the signature's; strings are `str` or `bytes`.
            signature: Key of the signature; empty takes `serving_default`.
            version: Version; None leaves the choice to the label, or else to the server.
            label: Version label, instead of the client's; empty asks for none.
            key: What the client's choice of a label by weight shall depend on, such as a user's
                name: the same key always gets the same label.
            outputs: Names of the outputs to return; empty returns all.
            timeout: Seconds to wait, instead of the client's.

        Returns:
            An array for each output; strings come as `bytes` in an object array.

        Raises:
            ServingError: The server refused, failed, or could not be reached in time.
            TypeError: An input of a type that no tensor has.
            ValueError: A version and a label.
        """
        spec = self._split.spec(model, version, label, key, signature)
        return self._ask(
            calls.predict(spec, inputs, outputs), timeout, version is None and label is None
        )

    def classify(
        self,
        model: str,
        examples: Iterable[Mapping[str, Any]],
        *,
        context: Mapping[str, Any] | None = None,
        signature: str = "",
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> list[Classes]:
        """Asks a model for the classes of examples.

        Args:
            model: Served name.
            examples: Features of each example: integers, booleans, floats, strings, or lists or
                arrays of them. `serving.protocol.examples.example` says what becomes of them.
            context: Features that all examples share.
            signature, version, label, key, timeout: As in `predict`.

        Returns:
            Pairs of label and score for each example, in the model's order.

        Raises:
            ServingError: As `predict`; TypeError and ValueError: features that do not fit.
        """
        spec = self._split.spec(model, version, label, key, signature)
        return self._ask(
            calls.classify(spec, examples, context), timeout, version is None and label is None
        )

    def regress(
        self,
        model: str,
        examples: Iterable[Mapping[str, Any]],
        *,
        context: Mapping[str, Any] | None = None,
        signature: str = "",
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> np.ndarray:
        """As `classify`, but returns a value for each example: float32 [examples]."""
        spec = self._split.spec(model, version, label, key, signature)
        return self._ask(
            calls.regress(spec, examples, context), timeout, version is None and label is None
        )

    def multi_inference(
        self,
        model: str,
        examples: Iterable[Mapping[str, Any]],
        tasks: Mapping[str, Literal["classify", "regress"]],
        *,
        context: Mapping[str, Any] | None = None,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, list[Classes] | np.ndarray]:
        """As `classify` and `regress`, with several signatures at once.

        Args:
            tasks: What to do by the key of the signature that does it.

        Returns:
            By signature what `classify` or `regress` returns.
        """
        spec = self._split.spec(model, version, label, key)
        return self._ask(
            calls.multi_inference(spec, examples, tasks, context),
            timeout,
            version is None and label is None,
        )

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Signature]:
        """Returns the signatures of a model by key.

        Raises:
            ServingError: As `predict`.
        """
        spec = self._split.spec(model, version, label, key)
        return self._ask(calls.metadata(spec), timeout, version is None and label is None)

    def version(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Returns which version answers calls with these arguments.

        Raises:
            ServingError: As `predict`.
        """
        spec = self._split.spec(model, version, label, key)
        return self._ask(calls.version_of(spec), timeout, version is None and label is None)

    def status(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> list[VersionStatus]:
        """Returns the state of each version that the server knows, highest first.

        It is asked once, however many attempts the client makes otherwise. TensorFlow Serving
        lists all versions whatever the label.

        Raises:
            ServingError: As `predict`.
        """
        spec = calls.model_spec(model, version, label or "")
        return self._ask(calls.status(spec), timeout)

    def wait_until_ready(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
    ) -> int:
        """Waits until a version is available, or a label is assigned, and returns its number.

        Without both, it is what calls will ask for: the client's label, or each of its labels
        (the number is then the first one's), or any version.

        Raises:
            ServingError: The last answer, when `timeout` seconds have passed; at once if the
                version failed to load.
        """
        waiting = Waiting(self._split.specs(model, version, label), timeout, self._timeout)
        while True:
            try:
                answer = self._ask(waiting.call, waiting.left())
            except ServingError as error:
                waiting.refused(error)
            else:
                ready = waiting.answered(answer)
                if ready is not None:
                    return ready
            time.sleep(PAUSE)

    def reload(
        self,
        models: Iterable[ModelConfig],
        *,
        metrics: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, int]:
        """Tells the server which models to serve, from now on and exclusively.

        Args:
            models: All models; one that is not among them is unloaded. A label may only be given
                to a version that is available already.
            metrics: Names of the server's metrics to watch meanwhile.
            timeout: Seconds to wait until the new models are available.

        Returns:
            By how much each metric grew.

        Raises:
            ServingError: As `predict`.
        """
        increases = self._ask(calls.reload(models, metrics), timeout)
        self._split.forget()
        return increases

    def healthy(self, service: str = "", *, timeout: float | None = None) -> bool:
        """Returns whether the server says that it, or one of its services, serves.

        A server that cannot be reached in time is not healthy.

        Raises:
            ServingError: The server does not have the service, or answers no such questions.
        """
        try:
            return self._ask(calls.health(service), timeout)
        except ServingError as error:
            if error.code in calls.OUT_OF_REACH:
                return False
            raise

    def _ask(self, call: Call[Result], timeout: float | None, chosen_here: bool = False) -> Result:
        """Sends a call; once more, to another label, if its own was chosen here and is unknown."""
        try:
            return self._send(call, timeout)
        except ServingError as error:
            if not chosen_here or not self._split.give_way(call.request, error):
                raise
        return self._send(call, timeout)

    def _send(self, call: Call[Result], timeout: float | None) -> Result:
        try:
            response = self._calls[call.method](
                call.request, timeout=self._timeout if timeout is None else timeout
            )
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details() or "") from error
        return calls.read(call, response)
