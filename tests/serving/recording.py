"""A bare server with upstream's services: records what comes, answers what it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import tensorflow as tf
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]
METHODS = (
    *("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"),
    *("GetModelStatus", "HandleReloadConfigRequest", "Check"),
)


class Recorder(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
    health_pb2_grpc.HealthServicer,
):
    """Upstream's services; a method without an answer is UNIMPLEMENTED.

    Args:
        answers: By method, a response, or a function of the request that returns one or a pair of
            status code and text.
    """

    def __init__(self, **answers: Any) -> None:
        self.received: list[tuple[str, Any]] = []
        for name in METHODS:
            if name in answers:
                setattr(self, name, self._method(name, answers[name]))

    def requests(self, name: str) -> list[Any]:
        """Returns the requests to a method, first come first."""
        return [request for method, request in self.received if method == name]

    def counts(self) -> Counter[str]:
        return Counter(method for method, _ in self.received)

    def _method(self, name: str, answer: Any) -> Callable[[Any, grpc.ServicerContext], Any]:
        def method(request: Any, context: grpc.ServicerContext) -> Any:
            self.received.append((name, request))
            response = answer(request) if callable(answer) else answer
            if isinstance(response, tuple):
                context.abort(*response)
            return response

        return method


@contextmanager
def bare_server(
    recorder: Recorder,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[str]:
    """Serves a recorder and yields its address."""
    server = grpc.server(ThreadPoolExecutor(8), options=OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(recorder, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(recorder, server)
    health_pb2_grpc.add_HealthServicer_to_server(recorder, server)
    port = (
        server.add_insecure_port(address)
        if credentials is None
        else server.add_secure_port(address, credentials)
    )
    server.start()
    try:
        yield address.replace(":0", f":{port}") if address.endswith(":0") else address
    finally:
        server.stop(0).wait()


def signatures(**offered: dict[str, str]) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns metadata with the dtype of each input, all vectors, by signature."""
    found = get_model_metadata_pb2.SignatureDefMap()
    for key, inputs in offered.items():
        for name, dtype in inputs.items():
            info = found.signature_def[key].inputs[name]
            info.dtype = tf.as_dtype(dtype).as_datatype_enum
            info.tensor_shape.dim.add(size=-1)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(found)
    return response


def echoed(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    """Answers with the only input as the output `echo`."""
    [value] = request.inputs.values()
    return predict_pb2.PredictResponse(outputs={"echo": value})
