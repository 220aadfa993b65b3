"""The client for asyncio.

>>> from serving.client import AsyncClient
>>> async with AsyncClient("localhost:8500") as client:
...     await client.predict("digits", {"images": images})
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import grpc
import grpc.aio

from serving.client import calls, operations
from serving.client.connection import Connection
from serving.client.operations import Operation, Pause, Request, Settings
from serving.errors import ServingError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _awaited(
    operation: Callable[Concatenate[Settings, Arguments], Operation[Result]],
) -> Callable[Concatenate[AsyncClient, Arguments], Coroutine[Any, Any, Result]]:
    """Makes an operation a coroutine method."""

    @functools.wraps(operation)
    async def method(
        client: AsyncClient, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        return await client._run(operation(client._settings, *args, **kwargs))

    return method


class AsyncClient(Connection):
    """`serving.client.Client` with the same arguments and methods, of which all are coroutines.

    Tasks of one event loop may share it; it must be created in that loop. A task that is
    cancelled cancels its call.
    """

    _grpc: ClassVar[Any] = grpc.aio

    predict = _awaited(operations.predict)
    classify = _awaited(operations.classify)
    regress = _awaited(operations.regress)
    multi_inference = _awaited(operations.multi_inference)
    metadata = _awaited(operations.metadata)
    version = _awaited(operations.version)
    status = _awaited(operations.status)
    wait_until_ready = _awaited(operations.wait_until_ready)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As `Client.close`."""
        await self._channel.close()

    reload = _awaited(operations.reload)
    healthy = _awaited(operations.healthy)

    async def _run(self, operation: Operation[Result]) -> Result:
        try:
            step = next(operation)
            while True:
                try:
                    answer = await self._do(step)
                except ServingError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(answer)
        except StopIteration as end:
            return end.value

    async def _do(self, step: Request | Pause) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        try:
            response = await self._start(step)
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details() or "") from error
        return calls.read(step.call, response)
