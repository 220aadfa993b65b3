"""gRPC reflection: what a server says that it can be asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from serving.protocol import messages
from serving.server import grpc_services, reflection
from serving.server.core import Core
from serving.server.grpc_services import Listeners

PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
SERVICES = [
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    "grpc.reflection.v1.ServerReflection",
]


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    core: Any = Core(SimpleNamespace())  # type: ignore[arg-type]
    server, port = grpc_services.serve(core, Listeners(), threads=1, health=True)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(0).wait()


@pytest.fixture(params=PACKAGES)
def ask(channel, request):
    """Sends requests, as fields of the message or as bytes, and returns the responses."""
    own = reflection._own_descriptors()
    request_class, response_class = (
        GetMessageClass(own.FindMessageTypeByName(f"{request.param}.ServerReflection{kind}"))
        for kind in ("Request", "Response")
    )
    call = channel.stream_stream(
        f"/{request.param}.ServerReflection/ServerReflectionInfo",
        response_deserializer=response_class.FromString,
    )

    def ask(*asked: Any) -> list[Any]:
        contents = (
            one if isinstance(one, bytes) else request_class(**one).SerializeToString()
            for one in asked
        )
        return list(call(contents, timeout=20))

    return ask


def files_of(response: Any) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    contents = response.file_descriptor_response.file_descriptor_proto
    files = [descriptor_pb2.FileDescriptorProto.FromString(content) for content in contents]
    assert len({file.name for file in files}) == len(files)
    return {file.name: file for file in files}


@pytest.mark.parametrize("asked", [b"\x3a\x01*", b"\x3a\x00", b"\x0a\x01h\x3a\x01*"])
def test_the_services_are_listed_whatever_the_text_that_asks_for_them(ask, asked):
    """Clients send a star or nothing; field 7 it is, also on the wire."""
    (response,) = ask(asked)
    assert [service.name for service in response.list_services_response.service] == SERVICES
    assert response.original_request.HasField("list_services")
    assert response.valid_host == response.original_request.host


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_is_described_so_that_it_can_be_called(ask, service):
    """A client builds everything from the answer alone, without a file of its own."""
    (response,) = ask({"file_containing_symbol": service})
    files = files_of(response)
    pool = descriptor_pool.DescriptorPool()

    def add(name: str) -> None:
        for imported in files[name].dependency:
            add(imported)
        pool.Add(files[name])

    for name in files:
        add(name)
    methods = pool.FindServiceByName(service).methods
    assert methods
    for method in methods:
        GetMessageClass(method.input_type)().SerializeToString()
        GetMessageClass(method.output_type)()


def test_a_method_or_a_field_is_found_in_the_file_of_what_has_it(ask):
    method, field, no_method = ask(
        {"file_containing_symbol": "tensorflow.serving.PredictionService.Predict"},
        {"file_containing_symbol": "tensorflow.serving.PredictRequest.inputs"},
        {"file_containing_symbol": "tensorflow.serving.PredictionService.Guess"},
    )
    assert next(iter(files_of(method))) == "tensorflow_serving/apis/prediction_service.proto"
    assert next(iter(files_of(field))) == "tensorflow_serving/apis/predict.proto"
    assert no_method.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_what_is_built_from_the_description_is_understood(ask):
    (response,) = ask({"file_containing_symbol": "tensorflow.serving.PredictRequest"})
    pool = descriptor_pool.DescriptorPool()
    for file in reversed(files_of(response).values()):
        pool.Add(file)
    described = GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.PredictRequest"))
    content = described(model_spec={"name": "m"}, output_filter=["y"]).SerializeToString()
    ours = messages.PredictRequest.FromString(content)
    assert (ours.model_spec.name, list(ours.output_filter)) == ("m", ["y"])


def test_a_stream_takes_many_requests_and_names_what_is_not_there(ask):
    path = "tensorflow_serving/apis/predict.proto"
    responses = ask(
        {"file_by_filename": path},
        {"file_by_filename": "no.proto"},
        {"file_containing_symbol": "no.Symbol"},
        {"file_containing_extension": {"containing_type": "no.Type", "extension_number": 5}},
        {"all_extension_numbers_of_type": "no.Type"},
        {"all_extension_numbers_of_type": "tensorflow.serving.PredictRequest"},
        {},
    )
    known, *unknown, extensions, nothing = responses
    assert path in files_of(known)
    assert "tensorflow_serving/apis/model.proto" in files_of(known)
    for response in unknown:
        assert response.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        assert "no." in response.error_response.error_message
    assert extensions.all_extension_numbers_response.base_type_name.endswith("PredictRequest")
    assert not extensions.all_extension_numbers_response.extension_number
    assert nothing.error_response.error_code == grpc.StatusCode.UNIMPLEMENTED.value[0]


def test_open_streams_take_no_thread_of_the_requests(channel):
    """The server has one thread for those; it answers while clients hold streams open."""
    call = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    over = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"\x3a\x01*"
        over.wait()

    held = [call(requests()) for _ in range(6)]
    try:
        next(iter(held[0]))
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as raised:
            predict(b"", timeout=20)
        error: Any = raised.value
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "Missing ModelSpec"
    finally:
        over.set()
        for stream in held:
            stream.cancel()
