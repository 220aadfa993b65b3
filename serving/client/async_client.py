"""The client for asyncio.

>>> from serving.client import AsyncClient
>>> async with AsyncClient("localhost:8500") as client:
...     await client.predict("digits", {"images": images})
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import grpc
import numpy as np

from serving.client import calls, channel
from serving.client.calls import Call, Classes, ModelConfig, Result, Signature, VersionStatus
from serving.client.channel import TLS
from serving.client.readiness import PAUSE, Waiting
from serving.client.traffic import Split
from serving.errors import ServingError


class AsyncClient:
    """`serving.client.Client` with the same arguments and methods, of which all are coroutines.

    Tasks of one event loop may share it; it must be created in that loop. A task that is
    cancelled cancels its call.
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
            grpc.aio.insecure_channel(target, options)
            if tls is None
            else grpc.aio.secure_channel(target, tls.credentials(), options)
        )
        self._calls = {
            method: self._channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            for method in calls.METHODS
        }

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def predict(
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
        spec = self._split.spec(model, version, label, key, signature)
        return await self._ask(
            calls.predict(spec, inputs, outputs), timeout, version is None and label is None
        )

    async def classify(
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
        spec = self._split.spec(model, version, label, key, signature)
        return await self._ask(
            calls.classify(spec, examples, context), timeout, version is None and label is None
        )

    async def regress(
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
        spec = self._split.spec(model, version, label, key, signature)
        return await self._ask(
            calls.regress(spec, examples, context), timeout, version is None and label is None
        )

    async def multi_inference(
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
        spec = self._split.spec(model, version, label, key)
        return await self._ask(
            calls.multi_inference(spec, examples, tasks, context),
            timeout,
            version is None and label is None,
        )

    async def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Signature]:
        spec = self._split.spec(model, version, label, key)
        return await self._ask(calls.metadata(spec), timeout, version is None and label is None)

    async def version(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> int:
        spec = self._split.spec(model, version, label, key)
        return await self._ask(calls.version_of(spec), timeout, version is None and label is None)

    async def status(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> list[VersionStatus]:
        spec = calls.model_spec(model, version, label or "")
        return await self._ask(calls.status(spec), timeout)

    async def wait_until_ready(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
    ) -> int:
        waiting = Waiting(self._split.specs(model, version, label), timeout, self._timeout)
        while True:
            try:
                answer = await self._ask(waiting.call, waiting.left())
            except ServingError as error:
                waiting.refused(error)
            else:
                ready = waiting.answered(answer)
                if ready is not None:
                    return ready
            await asyncio.sleep(PAUSE)

    async def reload(
        self,
        models: Iterable[ModelConfig],
        *,
        metrics: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, int]:
        increases = await self._ask(calls.reload(models, metrics), timeout)
        self._split.forget()
        return increases

    async def healthy(self, service: str = "", *, timeout: float | None = None) -> bool:
        try:
            return await self._ask(calls.health(service), timeout)
        except ServingError as error:
            if error.code in calls.OUT_OF_REACH:
                return False
            raise

    async def _ask(
        self, call: Call[Result], timeout: float | None, chosen_here: bool = False
    ) -> Result:
        """Sends a call; once more, to another label, if its own was chosen here and is unknown."""
        try:
            return await self._send(call, timeout)
        except ServingError as error:
            if not chosen_here or not self._split.give_way(call.request, error):
                raise
        return await self._send(call, timeout)

    async def _send(self, call: Call[Result], timeout: float | None) -> Result:
        try:
            response = await self._calls[call.method](
                call.request, timeout=self._timeout if timeout is None else timeout
            )
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details() or "") from error
        return calls.read(call, response)
