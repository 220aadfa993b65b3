"""The gRPC services: threads, deadlines, and requests of any kind."""

from __future__ import annotations

import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import EncodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.errors import ServingError, UserError
from serving.server import grpc_services
from serving.server.core import Core
from serving.server.grpc_services import Listeners
from serving.server.lifecycle.version_policy import Model
from tests.serving.in_process import serving
from tests.serving.saved_models import floats, request


@pytest.fixture(scope="module")
def channel(address):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def service(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def code_of(call: Any, *arguments: Any, **options: Any) -> str:
    """Returns the name of the status code that a call ends with."""
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_tensorflows_own_stubs_are_answered(prediction, service):
    answer = prediction.Predict(request("half_plus_two", x=floats(1, 2)), timeout=10)
    assert tf.make_ndarray(answer.outputs["y"]).tolist() == [2.5, 3]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        "half_plus_two",
        1,
        "serving_default",
    )
    asked = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "half_plus_two"}, metadata_field=["signature_def"]
    )
    assert list(prediction.GetModelMetadata(asked, timeout=10).metadata) == ["signature_def"]
    status = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "half_plus_two"})
    assert service.GetModelStatus(status, timeout=10).model_version_status[0].state == 30


def test_a_call_needs_no_deadline(prediction):
    answer = prediction.Predict(request("half_plus_two", x=floats(1)))
    assert list(answer.outputs["y"].float_val) == [2.5]


def test_a_deadline_ends_the_work_as_well_as_the_call(repository):
    """The only thread is free again for the next request."""
    with (
        serving(Model("count", repository / "count"), threads=1) as address,
        grpc.insecure_channel(address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        endless, short = (request("count", number=np.int64(number)) for number in (2**62, 3))
        assert code_of(stub.Predict, endless, timeout=0.2) == "DEADLINE_EXCEEDED"
        assert stub.Predict(short, timeout=10).outputs["counted"].int64_val == [3]


def test_messages_may_be_large(prediction):
    x = np.arange(2_000_000, dtype=np.float32)
    answer = prediction.Predict(request("half_plus_two", x=x), timeout=60)
    assert answer.ByteSize() > 4 << 20
    np.testing.assert_array_equal(answer.outputs["y"].float_val, x / 2 + 2)


def test_requests_beyond_the_number_of_threads_wait_their_turn(repository):
    with (
        serving(Model("count", repository / "count"), threads=2) as address,
        grpc.insecure_channel(address) as channel,
        ThreadPoolExecutor(12) as pool,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        numbers = [1000 + i for i in range(24)]
        answers = pool.map(
            lambda number: stub.Predict(request("count", number=np.int64(number)), timeout=60),
            numbers,
        )
        assert [answer.outputs["counted"].int64_val[0] for answer in answers] == numbers


def test_no_valid_request_is_refused_because_others_are_tried(prediction):
    """Shapes that the signature declares, empty ones too, and as many that it does not."""
    random = np.random.default_rng(0)
    shapes = [
        tuple(random.integers(0, 9, size=rank).tolist()) for rank in (1, 2, 3, 1) for _ in range(64)
    ]

    def outcome(shape: tuple[int, ...]) -> str:
        x = np.zeros(shape, np.float32)
        return code_of(prediction.Predict, request("half_plus_two", x=x), timeout=60)

    with ThreadPoolExecutor(16) as pool:
        assert Counter(pool.map(outcome, shapes)) == {"OK": len(shapes)}


def test_a_port_in_use_is_refused_in_a_sentence():
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as raised:
            grpc_services.serve(SimpleNamespace(), Listeners(port), threads=1)  # type: ignore[arg-type]
    assert str(raised.value) == (
        f"port {port} cannot be bound: it is in use or not allowed; choose another one"
    )


def test_messages_are_as_long_as_an_option_allows():
    core: Any = Core(SimpleNamespace())  # type: ignore[arg-type]
    options = [("grpc.max_receive_message_length", 1000)]
    server, port = grpc_services.serve(core, Listeners(), threads=1, options=options)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            codes = []
            for length in (1000, 1001):
                with pytest.raises(grpc.RpcError) as raised:
                    call(b"\xff" * length, timeout=20)
                codes.append(raised.value.code())
    finally:
        server.stop(0).wait()
    assert codes == [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_one_interface_is_listened_on_alone(host):
    server, port = grpc_services.serve(SimpleNamespace(), Listeners(host=host), threads=1)  # type: ignore[arg-type]
    try:
        socket.create_connection((host, port), timeout=20).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=20)
    finally:
        server.stop(0).wait()


def test_an_unforeseen_exception_ends_one_request_and_is_logged(caplog):
    def fail(*_):
        raise ZeroDivisionError("nobody thought of this")

    core: Any = Core(SimpleNamespace())  # type: ignore[arg-type]
    core.predict = fail
    server, port = grpc_services.serve(core, Listeners(), threads=1)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for _ in range(2):
                with pytest.raises(grpc.RpcError) as raised:
                    stub.Predict(request("m"), timeout=10)
                error: Any = raised.value
                assert error.code() is grpc.StatusCode.INTERNAL
                assert error.details() == "ZeroDivisionError: nobody thought of this"
    finally:
        server.stop(0).wait()
    assert "Traceback" in caplog.text


def test_an_answer_that_no_message_holds_is_an_internal_error(caplog):
    class TooLarge:
        def SerializeToString(self) -> bytes:
            raise EncodeError("Failed to serialize proto")

    core: Any = Core(SimpleNamespace())  # type: ignore[arg-type]
    core.predict = lambda *_: TooLarge()
    server, port = grpc_services.serve(core, Listeners(), threads=1)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as raised:
                stub.Predict(request("m"), timeout=10)
        assert raised.value.code() is grpc.StatusCode.INTERNAL
        assert raised.value.details() == "Failed to serialize message"
    finally:
        server.stop(0).wait()
    assert caplog.text == ""


def test_any_text_of_an_error_reaches_the_client():
    """Also one that no header could carry as it is."""
    text = "naïve shapes\n\t [[{{node f}}]] \x00 € " + "x" * 2000

    def fail(*_):
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)

    core: Any = Core(SimpleNamespace())  # type: ignore[arg-type]
    core.predict = fail
    server, port = grpc_services.serve(core, Listeners(), threads=1)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as raised:
                stub.Predict(request("m"), timeout=10)
    finally:
        server.stop(0).wait()
    error: Any = raised.value
    assert error.details() == text.encode()[:1024].decode() + "...TRUNCATED"


@pytest.mark.parametrize("letter", ["é", "😀", "\0"])
def test_a_long_text_of_any_letters_fits_into_the_headers_of_the_answer(prediction, letter):
    """Where they are too large, clients refuse the answer, at random at first."""
    for _ in range(20):
        with pytest.raises(grpc.RpcError) as raised:
            prediction.Predict(request(letter * 3000, x=floats(1)), timeout=20)
        error: Any = raised.value
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details().startswith(f"Servable not found for request: Latest({letter}")
        assert error.details().endswith(f"{letter}...TRUNCATED")


CONTRACT = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE"}
MODELS = ["half_plus_two", "sum_and_difference", "echo", "flatten", "scale", "every_dtype", ""]
ALIASES = st.sampled_from(["x", "a", "b", "text", "images", "factor", "float32", "string", "no"])


@st.composite
def tensor_protos(draw):
    """Anything that can be said in a TensorProto."""
    proto = tensor_pb2.TensorProto(
        tensor_shape={
            "dim": [
                {"size": size}
                for size in draw(
                    st.lists(st.integers(-2, 4) | st.sampled_from([2**31, 2**63 - 1]), max_size=4)
                )
            ],
            "unknown_rank": draw(st.integers(0, 9)) == 0,
        },
        tensor_content=draw(st.just(b"") | st.binary(max_size=20)),
        float_val=draw(st.lists(st.floats(width=32), max_size=4)),
        int_val=draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4)),
        string_val=draw(st.lists(st.binary(max_size=4), max_size=4)),
        half_val=draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2)),
        scomplex_val=draw(st.lists(st.floats(width=32), max_size=3)),
    )
    # Numbers of no dtype as well; the wire carries any.
    number = draw(st.integers(0, 30) | st.sampled_from([1, 1, 1, 7, 101, 127]))
    return tensor_pb2.TensorProto.FromString(proto.SerializeToString() + bytes([8, number]))


@settings(max_examples=200)
@given(
    model=st.sampled_from(MODELS),
    signature=st.sampled_from(["", "", "only_sum", "__saved_model_init_op", "no"]),
    inputs=st.dictionaries(ALIASES, tensor_protos(), max_size=3),
    outputs=st.lists(st.sampled_from(["y", "sum", "text", "no"]), max_size=2),
)
def test_requests_of_any_content_end_with_a_code_of_the_contract(
    prediction, model, signature, inputs, outputs
):
    message = request(model, signature, outputs)
    for name, proto in inputs.items():
        message.inputs[name].CopyFrom(proto)
    assert code_of(prediction.Predict, message, timeout=20) in CONTRACT


def test_bytes_of_any_kind_end_with_a_code_and_leave_the_server_well(channel, prediction):
    """Good requests with a few wrong bytes, and bytes that never were a request."""
    generator = random.Random(0)
    good = request("sum_and_difference", outputs=["sum"], a=floats(1, 2), b=floats(3, 4))
    asked = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "half_plus_two"}, metadata_field=["signature_def"]
    )
    codes: Counter[str] = Counter()
    for method, message in (("Predict", good), ("GetModelMetadata", asked)):
        call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
        for turn in range(200):
            content = bytearray(message.SerializeToString())
            if turn % 10 == 0:
                content = bytearray(generator.randbytes(1 + generator.randrange(60)))
            for _ in range(generator.randrange(1, 4)):
                content[generator.randrange(len(content))] = generator.randrange(256)
            codes[code_of(call, bytes(content), timeout=20)] += 1
    assert set(codes) <= CONTRACT | {"INTERNAL"}  # INTERNAL: no message at all.
    assert len(codes) >= 4, codes
    answer = prediction.Predict(good, timeout=10)
    assert list(answer.outputs["sum"].float_val) == [4, 6]


def test_bytes_that_are_no_message_are_an_internal_error_and_no_traceback(channel, caplog):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as raised:
        call(b"\xff\xff\xff", timeout=10)
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details().startswith(
        "Error parsing message with type 'tensorflow.serving.PredictRequest'"
    )
    assert caplog.text == ""


def test_the_request_after_a_bad_one_is_answered(prediction):
    for bad in (
        request("nobody", x=floats(1)),
        request("half_plus_two", x=np.ones(1)),
        predict_pb2.PredictRequest(),
    ):
        assert code_of(prediction.Predict, bad, timeout=10) != "OK"
        good = prediction.Predict(request("half_plus_two", x=floats(0)), timeout=10)
        assert list(good.outputs["y"].float_val) == [2]
