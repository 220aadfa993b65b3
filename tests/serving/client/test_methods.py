"""The RPCs are TensorFlow Serving's."""

from __future__ import annotations

from grpc_health.v1 import health_pb2
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

from serving.client.methods import METHODS


def test_the_methods_are_upstreams():
    services = [
        prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"],
        model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
        health_pb2.DESCRIPTOR.services_by_name["Health"],
    ]
    theirs = {
        f"/{service.full_name}/{method.name}": (method.input_type.name, method.output_type.name)
        for service in services
        for method in service.methods
    }
    for method in METHODS:
        ours = (method.request.DESCRIPTOR.name, method.response.DESCRIPTOR.name)
        assert theirs[method.path] == ours
