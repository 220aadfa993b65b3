"""Sessions of the models that take examples, and a server of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.server.servables.session import Session
from tests.serving.server.handlers.examples import TF1, TF2


@pytest.fixture(scope="module")
def sessions(repository) -> Iterator[dict[str, Session]]:
    opened = {name: Session(repository / name / "1") for name in (TF1, TF2, "classifier")}
    yield opened
    for session in opened.values():
        session.close()


@pytest.fixture(scope="module")
def service(address) -> Iterator[Any]:
    with grpc.insecure_channel(address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
