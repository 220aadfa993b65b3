"""Both kinds of clients as one, and what they are asked."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.client import AsyncClient


class Awaited:
    """An AsyncClient whose methods are waited for, so that tests of Client can use it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._create(*arguments, **options))

    async def _create(self, *arguments: Any, **options: Any) -> AsyncClient:
        return AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._runner.run(method(*arguments, **options))

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


def response(*values: float) -> predict_pb2.PredictResponse:
    message = predict_pb2.PredictResponse()
    message.outputs["y"].CopyFrom(tf.make_tensor_proto(values, tf.float32))
    return message


def after_failures(count: int, code: grpc.StatusCode) -> Any:
    """Answers `count` times with the code, then well."""
    left = iter([(code, "not now")] * count)
    return lambda _: next(left, response(1))


def ask(client: Any, **options: Any) -> list[float]:
    return client.predict("m", {"x": np.array([1], np.float32)}, **options)["y"].tolist()
