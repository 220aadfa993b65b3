"""TensorFlow Lite models answer like others, and no request reads beyond a tensor."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.errors import ServingError
from serving.server.core import Core
from serving.server.handlers.classify_regress import classify
from serving.server.handlers.metadata import metadata
from serving.server.handlers.predict import predict
from serving.server.lifecycle.manager import Manager, Model
from serving.server.servables.signature_constants import CLASSIFY, REGRESS
from serving.server.servables.tflite import TFLITE_FILE, TfLiteSession
from tests.serving import tflite_models
from tests.serving.inference_models import classification, examples
from tests.serving.saved_models import floats, request

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder NAME/1 with a model for each function of `tflite_models` that builds one."""
    base = tmp_path_factory.mktemp("tflite")
    for build in (
        tflite_models.half_plus_two,
        tflite_models.sum_and_difference,
        tflite_models.echo,
        tflite_models.product,
    ):
        build(base / build.__name__ / "1")
    return base


@pytest.fixture(scope="module")
def sessions(folder) -> Iterator[dict[str, TfLiteSession]]:
    opened = {each.name: TfLiteSession(each / "1") for each in folder.iterdir()}
    yield opened
    for session in opened.values():
        session.close()


@pytest.fixture(scope="module")
def plain(folder) -> tuple[bytes, dict[str, str]]:
    """A model with signatures, and the names that its tensors are to get without them."""
    session = TfLiteSession(folder / "half_plus_two" / "1")
    output = session.signatures["serving_default"].outputs["y"].name
    content = (folder / "half_plus_two" / "1" / TFLITE_FILE).read_bytes()
    return content, {"serving_default_x:0": "x", output: "y"}


def failure(session: TfLiteSession, **inputs) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(ServingError) as raised:
        predict(session, request(**inputs))
    return raised.value.code, raised.value.message


def load_failure(path: Path, content: bytes) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(ServingError) as raised:
        TfLiteSession(tflite_models.write(path, content))
    return raised.value.code, raised.value.message


def test_a_request_to_the_saved_model_fits_the_converted_one(sessions):
    response = predict(sessions["half_plus_two"], request(x=floats(1, 2)))
    assert response.model_spec.signature_name == "serving_default"
    assert list(response.outputs["y"].float_val) == [2.5, 3]


def test_every_signature_of_a_model_answers(sessions):
    session = sessions["sum_and_difference"]
    assert sorted(session.signatures) == ["only_sum", "serving_default"]
    both = predict(session, request(a=floats(3), b=floats(1)))
    assert {name: list(value.float_val) for name, value in both.outputs.items()} == {
        "sum": [4],
        "difference": [2],
    }
    one = predict(session, request(outputs=["difference"], a=floats(3), b=floats(1)))
    assert list(one.outputs) == ["difference"]
    other = predict(session, request(signature="only_sum", a=floats(3), b=floats(1)))
    assert list(other.outputs) == ["sum"]


def test_batches_of_any_size_follow_each_other(sessions):
    for size in (1, 5, 2, 0, 100, 1):
        x = np.arange(size, dtype=np.float32)
        y = predict(sessions["half_plus_two"], request(x=x)).outputs["y"]
        assert list(y.float_val) == [0.5 * value + 2 for value in x]
        assert [dim.size for dim in y.tensor_shape.dim] == [size]


@pytest.mark.parametrize("texts", [[b"a\0", b"", b"\xff"], []])
def test_strings_come_back_byte_by_byte(sessions, texts):
    response = predict(sessions["echo"], request(text=np.array(texts, object)))
    assert list(response.outputs["text"].string_val) == texts


def test_metadata_say_which_sizes_may_vary(sessions):
    signatures = get_model_metadata_pb2.SignatureDefMap()
    metadata("any", 1, sessions["product"]).metadata["signature_def"].Unpack(signatures)
    info = signatures.signature_def["serving_default"].inputs["x"]
    assert [dim.size for dim in info.tensor_shape.dim] == [-1, 3]
    assert info.dtype == types_pb2.DT_FLOAT


@pytest.mark.parametrize(
    ("model", "inputs", "code", "text"),
    [
        (
            "half_plus_two",
            {"x": np.ones(2)},
            INVALID,
            "Expects arg[0] to be float but double is provided",
        ),
        (
            "sum_and_difference",
            {"a": floats(1), "b": np.ones(1, np.int64)},
            INVALID,
            "Expects arg[1] to be float but int64 is provided",
        ),
        (
            "echo",
            {"text": floats(1)},
            INVALID,
            "Expects arg[0] to be string but float is provided",
        ),
        (
            "half_plus_two",
            {"z": floats(1)},
            INVALID,
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and "
            "no default value provided. Inputs expected to be in the request {z}, or default "
            "input alias set: ",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(sessions, model, inputs, code, text):
    assert failure(sessions[model], **inputs) == (code, text)


def test_sizes_that_an_operation_cannot_bring_together_leave_the_model_well(sessions):
    for _ in range(3):
        code, text = failure(sessions["product"], x=np.ones((2, 4), np.float32))
        assert code is grpc.StatusCode.INTERNAL
        assert text.startswith("Failed to allocate tensors: ")
        good = predict(sessions["product"], request(x=np.ones((2, 3), np.float32)))
        assert list(good.outputs["product"].float_val) == [3, 3, 3, 3]


def test_a_tensor_that_the_model_lacks_is_named(sessions):
    with pytest.raises(ServingError) as raised:
        sessions["half_plus_two"].run({"nothing": floats(1)}, [])
    assert raised.value.code is grpc.StatusCode.INTERNAL
    assert raised.value.message == (
        "Unknown tensor 'nothing'.\n\tMissing input TFLite tensor: nothing"
    )


def test_a_model_without_signatures_gets_one_of_its_tensors_names(plain, tmp_path):
    content, names = plain
    path = tflite_models.write(tmp_path, tflite_models.without_signatures(content, names))
    session = TfLiteSession(path)
    assert list(session.signatures) == ["serving_default"]
    assert session.signatures["serving_default"].method_name == "tensorflow/serving/predict"
    for x in (floats(1, 2), floats(4)):
        response = predict(session, request(x=x))
        assert list(response.outputs["y"].float_val) == [0.5 * value + 2 for value in x]


def test_names_of_tensors_lose_what_comes_after_the_colon(plain, tmp_path):
    content, _ = plain
    session = TfLiteSession(
        tflite_models.write(tmp_path, tflite_models.without_signatures(content, {}))
    )
    signature = session.signatures["serving_default"]
    assert list(signature.inputs) == ["serving_default_x"]
    assert signature.inputs["serving_default_x"].name == "serving_default_x:0"
    predict(session, request(serving_default_x=floats(1)))


def test_signatures_in_the_metadata_count_before_all_others(plain, tmp_path):
    content, names = plain
    signature = meta_graph_pb2.SignatureDef(method_name=REGRESS)
    signature.inputs["number"].name = "x:0"  # The model calls it x.
    signature.outputs["outputs"].name = "y"
    written = {"halves": signature.SerializeToString()}
    changed = tflite_models.without_signatures(content, names, written)
    session = TfLiteSession(tflite_models.write(tmp_path, changed))
    assert list(session.signatures) == ["halves"]
    assert session.signatures["halves"].inputs["number"].name == "x"
    response = predict(session, request(signature="halves", number=floats(2)))
    assert list(response.outputs["outputs"].float_val) == [3]


def test_signatures_in_the_metadata_must_name_what_exists(plain, tmp_path):
    content, names = plain
    signature = meta_graph_pb2.SignatureDef()
    signature.inputs["number"].name = "gone:0"
    for written, expected in (
        (
            signature.SerializeToString(),
            (
                grpc.StatusCode.INTERNAL,
                "Unknown tensor 'gone:0'.\n\tSignature input number references an unknown tensor",
            ),
        ),
        (
            b"garbage",
            (
                INVALID,
                "Invalid SignatureDefs found in TfLite model: "
                "Cannot parse signature def found in flatbuffer.",
            ),
        ),
    ):
        changed = tflite_models.without_signatures(content, names, {"serving_default": written})
        assert load_failure(tmp_path, changed) == expected


@pytest.mark.parametrize("kept", [0, 1, 8, 100, 0.5, 0.99])
def test_damaged_files_are_refused(plain, tmp_path, kept):
    content, _ = plain
    size = kept if isinstance(kept, int) else int(kept * len(content))
    code, text = load_failure(tmp_path, content[:size])
    assert code is INVALID
    assert text.startswith("Cannot build FlatBufferModel from buffer. ")


def test_a_folder_without_model_is_not_found(tmp_path):
    with pytest.raises(ServingError) as raised:
        TfLiteSession(tmp_path)
    assert raised.value.code is grpc.StatusCode.NOT_FOUND


def test_a_model_of_other_ops_than_tensorflow_lites_is_refused_when_it_is_loaded(tmp_path):
    tflite_models.parses_examples(tmp_path / "1")
    with pytest.raises(ServingError) as raised:
        TfLiteSession(tmp_path / "1")
    assert raised.value.code is grpc.StatusCode.INTERNAL
    assert raised.value.message.startswith("Cannot build Interpreter from buffer. ")
    assert "FlexParseExampleV2" in raised.value.message


def test_examples_reach_a_model_as_strings(sessions, folder, tmp_path):
    """With signatures in the metadata, a model can classify what it need not parse."""
    output = sessions["echo"].signatures["serving_default"].outputs["text"].name
    signature = meta_graph_pb2.SignatureDef(method_name=CLASSIFY)
    signature.inputs["inputs"].name = "serving_default_text:0"
    signature.outputs["classes"].name = output
    content = (folder / "echo" / "1" / TFLITE_FILE).read_bytes()
    written = {"serving_default": signature.SerializeToString()}
    changed = tflite_models.without_signatures(content, {}, written)
    session = TfLiteSession(tflite_models.write(tmp_path, changed))
    with pytest.raises(ServingError, match="Expected Tensor shape: "):
        classify(session, classification("", "", examples({"x": 1.0})))


@pytest.mark.parametrize("interpreters", [1, 3])
def test_many_threads_share_few_interpreters(folder, interpreters):
    session = TfLiteSession(folder / "half_plus_two" / "1", interpreters)
    name = session.signatures["serving_default"].outputs["y"].name

    def asked(index: int) -> bool:
        x = np.arange(index % 7, dtype=np.float32) + index
        (y,) = session.run({"serving_default_x:0": x}, [name])
        return bool(np.array_equal(y, 0.5 * x + 2))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(asked, range(400)))
    session.close()


def test_who_waits_too_long_for_an_interpreter_is_told_so(folder, monkeypatch):
    session = TfLiteSession(folder / "half_plus_two" / "1")
    taken: queue.Queue[bool] = queue.Queue()
    release = threading.Event()
    run = session._subgraphs[0].__class__.run

    def slow(self, interpreter, feeds):
        taken.put(True)
        release.wait(20)
        return run(self, interpreter, feeds)

    monkeypatch.setattr(session._subgraphs[0].__class__, "run", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(predict, session, request(x=floats(1)))
        taken.get(timeout=20)
        try:
            with pytest.raises(ServingError, match="DEADLINE_EXCEEDED: Timed out waiting"):
                predict(session, request(x=floats(1)), 0.01)
        finally:
            release.set()
        assert list(first.result(20).outputs["y"].float_val) == [2.5]


def test_a_manager_serves_it_like_any_other_model(folder):
    manager = Manager([Model("m", folder / "half_plus_two")], TfLiteSession)
    manager.start()
    try:
        response = Core(manager).predict(request("m", x=floats(1)))
        assert response.model_spec.version.value == 1
        assert list(response.outputs["y"].float_val) == [2.5]
    finally:
        manager.stop()
