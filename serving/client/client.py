"""A client of TensorFlow Serving's gRPC API: NumPy in, NumPy out, no TensorFlow.

>>> from serving.client import Client
>>> with Client("localhost:8500") as client:
...     client.predict("digits", {"images": images})["classes"]

It needs grpcio, protobuf and numpy, and answers a second after its process starts. For asyncio
there is `serving.client.AsyncClient` with the same methods.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from serving.client import calls, operations
from serving.client.connection import Connection
from serving.client.operations import Operation, Pause, Request, Settings
from serving.errors import ServingError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _blocking(
    operation: Callable[Concatenate[Settings, Arguments], Operation[Result]],
) -> Callable[Concatenate[Client, Arguments], Result]:
    """Makes an operation a method."""

    @functools.wraps(operation)
    def method(client: Client, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return client._run(operation(client._settings, *args, **kwargs))

    return method


class Client(Connection):
    """A connection to a model server, or to several; threads may share it.

    A call that is answered with UNAVAILABLE, or does not reach a server, is sent again after a
    pause that grows, within the call's timeout; any other error is final. Several servers take
    turns, and one that is down is left out until it returns.

    Args:
        address: "host:port" or "unix:/path"; several as a list or separated by commas.
        timeout: Seconds to wait for an answer, unless a call has its own timeout.
        label: Version label of the calls that name neither a version nor a label; empty for none.
            By default it is "stable" for the models whose server has that label, and none for
            others; which of them, the client finds out by asking, and again after ten seconds.
        labels: Labels by weight instead: each such call gets one of them. When the server does
            not know one, such as that of a canary that has ended, "stable" takes its calls, if it
            is among the labels.
        seed: Seed of that choice; see `serving.client.traffic.Split`.
        attempts: How often a call is sent at most, from 1 to 5.
        tls: Encryption; None for none.

    Raises:
        UserError: An invalid address, number of attempts or file of `tls`.
        ServingError: UNAVAILABLE, one of several hosts has no address.
        ValueError: `label` and `labels`, or invalid weights.
    """

    predict = _blocking(operations.predict)
    classify = _blocking(operations.classify)
    regress = _blocking(operations.regress)
    multi_inference = _blocking(operations.multi_inference)
    metadata = _blocking(operations.metadata)
    version = _blocking(operations.version)
    status = _blocking(operations.status)
    wait_until_ready = _blocking(operations.wait_until_ready)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls that wait for an answer are cancelled."""
        self._channel.close()

    reload = _blocking(operations.reload)
    healthy = _blocking(operations.healthy)

    def _run(self, operation: Operation[Result]) -> Result:
        try:
            step = next(operation)
            while True:
                try:
                    answer = self._do(step)
                except ServingError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(answer)
        except StopIteration as end:
            return end.value

    def _do(self, step: Request | Pause) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        try:
            response = self._start(step)
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details() or "") from error
        return calls.read(step.call, response)
