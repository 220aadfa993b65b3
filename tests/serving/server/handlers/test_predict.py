"""From a Predict request to its response, on real sessions; the contract holds the refusals."""

from __future__ import annotations

from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

from serving.errors import ServingError
from serving.server.handlers import predict as module
from serving.server.handlers.predict import predict
from serving.server.servables.session import Session
from tests.serving.saved_models import floats, request


@pytest.fixture(scope="module")
def sessions(repository):
    opened = {folder.name: Session(folder / "1") for folder in repository.iterdir()}
    yield opened
    for session in opened.values():
        session.close()


FLOATS = [0.0, -1.5, np.inf, -np.inf]
VALUES: dict[str, np.ndarray] = {
    "float16": np.array(FLOATS, np.float16),
    "float32": np.array(FLOATS, np.float32),
    "float64": np.array(FLOATS, np.float64),
    "bfloat16": np.array(FLOATS, ml_dtypes.bfloat16),
    "complex64": np.array([1 + 2j, -3j], np.complex64),
    "complex128": np.array([1 + 2j, -3j], np.complex128),
    "bool": np.array([True, False]),
    **{
        name: np.array([np.iinfo(name).min, np.iinfo(name).max], name)
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    "string": np.array([b"", "é".encode(), b"\0\xff\0"], object),
}


@pytest.mark.parametrize("shape", ["vector", "matrix", "scalar", "empty"])
def test_every_dtype_passes_through_in_its_typed_field(sessions, shape):
    inputs: dict[str, Any] = {
        name: {
            "vector": values,
            "matrix": np.stack([values, values[::-1]]),
            "scalar": values[-1:].reshape(()),
            "empty": values[:0].reshape(0, 3),
        }[shape]
        for name, values in VALUES.items()
    }
    response = predict(sessions["every_dtype"], request(**inputs))
    assert set(response.outputs) == set(VALUES)
    for name, output in response.outputs.items():
        assert output.dtype == tf.as_dtype(name).as_datatype_enum
        assert output.tensor_content == b""
        got = tf.make_ndarray(output)
        assert got.shape == inputs[name].shape
        assert got.tolist() == inputs[name].tolist(), name


def test_numbers_come_as_tensor_content_where_that_is_wanted_and_strings_as_strings(sessions):
    inputs: dict[str, Any] = VALUES
    response = predict(sessions["every_dtype"], request(**inputs), tensor_content=True)
    for name, output in response.outputs.items():
        typed = [field.name for field, _ in output.ListFields() if field.name.endswith("_val")]
        assert typed == (["string_val"] if name == "string" else [])
        assert bool(output.tensor_content) is (name != "string")
        assert tf.make_ndarray(output).tolist() == VALUES[name].tolist()


@pytest.mark.parametrize("dtype", ["DT_RESOURCE", "DT_VARIANT"])
@pytest.mark.parametrize("sizes", [[], [1]])
def test_a_tensor_that_points_into_a_process_is_refused(sessions, dtype, sizes):
    """One of these ends TensorFlow Serving's process."""
    message = request()
    tensor = message.inputs["x"]
    tensor.dtype = types_pb2.DataType.Value(dtype)
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    tensor.resource_handle_val.add(device="/cpu:0", container="c", name="n")
    with pytest.raises(ServingError) as raised:
        predict(sessions["half_plus_two"], message)
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    what = dtype.removeprefix("DT_").lower()
    assert raised.value.message == f"Expects arg[0] to be float but {what} is provided"


def test_the_method_name_counts_only_if_it_is_to_be_checked(sessions):
    session = sessions["half_plus_two_of_tensorflow_1"]
    good = request(x=floats(1, 2))
    assert predict(session, good, check_method_name=True) == predict(session, good)
    other = request(signature="without_index", x=floats(1, 2))
    assert list(predict(session, other).outputs["y"].float_val) == [2.5, 3]
    with pytest.raises(ServingError) as raised:
        predict(session, other, check_method_name=True)
    assert raised.value.code is grpc.StatusCode.INTERNAL
    assert raised.value.message == (
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: "
    )


def test_the_response_names_the_signature_that_was_used(sessions):
    inputs: dict[str, Any] = {"a": floats(1), "b": floats(2)}
    session = sessions["sum_and_difference"]
    named = predict(session, request(signature="only_sum", **inputs))
    assert named.model_spec.signature_name == "only_sum"
    assert list(named.outputs) == ["sum"]
    default = predict(session, request(**inputs))
    assert default.model_spec.signature_name == "serving_default"
    assert sorted(default.outputs) == ["difference", "sum"]


def test_an_output_filter_keeps_just_those(sessions):
    message = request(outputs=["sum"], a=floats(1), b=floats(2))
    assert list(predict(sessions["sum_and_difference"], message).outputs) == ["sum"]


def test_models_of_tensorflow_1_answer(sessions):
    response = predict(sessions["half_plus_two_of_tensorflow_1"], request(x=floats(1, 2)))
    assert list(response.outputs["y"].float_val) == [2.5, 3]


def test_a_request_and_a_model_are_left_as_they_were(sessions):
    session = sessions["scale"]
    before = {key: signature.SerializeToString() for key, signature in session.signatures.items()}
    message = request(x=floats(1, 2))
    copy = predict_pb2.PredictRequest.FromString(message.SerializeToString())
    assert list(predict(session, message).outputs["y"].float_val) == [3, 6]
    assert message == copy
    after = {key: signature.SerializeToString() for key, signature in session.signatures.items()}
    assert after == before


def test_a_default_that_is_no_tensor_is_refused_by_its_name(sessions):
    session = sessions["scale"]
    signature = session.signatures["serving_default"]
    good = signature.defaults["factor"].SerializeToString()
    signature.defaults["factor"].tensor_content = b"x"
    try:
        with pytest.raises(ServingError, match="INVALID_ARGUMENT: tensor parsing error: factor"):
            predict(session, request(x=floats(1)))
    finally:
        signature.defaults["factor"].ParseFromString(good)


def test_the_time_that_is_left_limits_the_run(sessions):
    with pytest.raises(ServingError, match="DEADLINE_EXCEEDED: Timed out waiting"):
        predict(sessions["count"], request(number=np.int64(2**62)), timeout=0.02)


def test_outputs_beyond_what_a_message_holds_are_refused(sessions, monkeypatch):
    monkeypatch.setattr(module, "_MAX_BYTES", 8)
    predict(sessions["half_plus_two"], request("m", x=floats(1, 2)))
    with pytest.raises(ServingError) as raised:
        predict(sessions["half_plus_two"], request("m", x=floats(1, 2, 3)))
    assert str(raised.value) == "INTERNAL: Failed to serialize message"
