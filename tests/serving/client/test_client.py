"""The light client against the embedded server, over gRPC."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from serving.client import Client, ModelConfig, TensorInfo, VersionStatus
from serving.errors import ServingError
from serving.server.lifecycle.version_policy import Model
from tests.serving.recording import Recorder, bare_server

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture(scope="module")
def client(address):
    with Client(address, timeout=60) as client:
        yield client


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def refused(function, *arguments, **options) -> ServingError:
    with pytest.raises(ServingError) as raised:
        function(*arguments, **options)
    return raised.value


def test_arrays_go_in_and_come_out(client):
    answer = client.predict("half_plus_two", {"x": floats(1, 2)})
    assert list(answer) == ["y"]
    assert answer["y"].dtype == np.float32
    assert answer["y"].tolist() == [2.5, 3]


def test_lists_and_numbers_are_made_arrays(client):
    assert client.predict("count", {"number": 5})["counted"] == 5
    answer = client.predict("half_plus_two", {"x": [floats(1, 2), floats(3, 4)]})
    assert answer["y"].tolist() == [[2.5, 3], [3.5, 4]]


@pytest.mark.parametrize(
    ("text", "echo"),
    [
        (["é", b"\xff", "ab"], ["é".encode(), b"\xff", b"ab"]),
        ([b"zero at the end\0", b"\0"], [b"zero at the end\0", b"\0"]),
        ((("a",), (b"b\0",)), [[b"a"], [b"b\0"]]),
        ("one", b"one"),
        (b"\0", b"\0"),
        (np.array(["é", "b"]), ["é".encode(), b"b"]),
        (np.array([], object), []),
    ],
    ids=["list", "zeros", "nested", "str", "bytes", "array", "empty"],
)
def test_strings_arrive_whole(client, text, echo):
    assert client.predict("echo", {"text": text})["text"].tolist() == echo


def test_only_the_wanted_outputs_come(client):
    inputs = {"a": floats(3), "b": floats(1)}
    answer = client.predict("sum_and_difference", inputs)
    assert {name: value.tolist() for name, value in answer.items()} == {
        "sum": [4],
        "difference": [2],
    }
    assert set(client.predict("sum_and_difference", inputs, outputs=["difference"])) == {
        "difference"
    }


def test_signature_and_version_can_be_chosen(client):
    inputs = {"a": floats(3), "b": floats(1)}
    answer = client.predict("sum_and_difference", inputs, signature="only_sum", version=1)
    assert set(answer) == {"sum"}
    error = refused(client.predict, "sum_and_difference", inputs, version=2)
    assert error.message == "Servable not found for request: Specific(sum_and_difference, 2)"


def test_a_refusal_carries_the_servers_code_and_text(client):
    error = refused(client.predict, "half_plus_two", {"x": np.ones(1)})
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.message == "Expects arg[0] to be float but double is provided"
    assert str(error) == f"INVALID_ARGUMENT: {error.message}"


def test_what_no_tensor_holds_is_refused_before_it_is_sent(client):
    with pytest.raises(TypeError):
        client.predict("echo", {"text": np.array([b"a", 1], object)})


def test_the_timeout_of_a_call_comes_before_the_clients(address):
    with Client(address, timeout=0.1) as client:
        begun = time.monotonic()
        error = refused(client.predict, "count", {"number": 2**62})
        assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - begun < 5
        error = refused(client.predict, "count", {"number": 2**62}, timeout=0.05)
        assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert client.predict("count", {"number": 3}, timeout=20)["counted"] == 3


def test_the_metadata_are_the_signatures(client):
    signatures = client.metadata("sum_and_difference", version=1)
    assert set(signatures) == {"serving_default", "only_sum", "__saved_model_init_op"}
    default = signatures["serving_default"]
    assert default.method_name == "tensorflow/serving/predict"
    assert list(default.inputs) == ["a", "b"]
    assert default.inputs["a"] == TensorInfo("serving_default_a:0", "float32", (None,))
    assert list(signatures["only_sum"].outputs) == ["sum"]
    [nothing] = signatures["__saved_model_init_op"].outputs.values()
    assert (nothing.dtype, nothing.shape) == ("invalid", None)
    assert refused(client.metadata, "nobody").code is grpc.StatusCode.NOT_FOUND


def test_examples_are_classified(client):
    assert client.classify("classifier", [{"probability": 0.25}, {"probability": [1.0]}]) == [
        [("sí", 0.25), ("no", 0.75)],
        [("sí", 1.0), ("no", 0.0)],
    ]
    [shared] = client.classify(
        "classifier", [{}], context={"probability": 1.0}, signature="only_scores", version=1
    )
    assert shared == [("", 1.0), ("", 0.0)]


def test_examples_are_regressed(client):
    model = "half_plus_two_of_examples"
    values = client.regress(model, [{"x": 2.0}, {"x": 4.0}], signature="regress_x_to_y")
    assert (values.dtype, values.tolist()) == (np.float32, [3, 4])
    error = refused(client.regress, model, [], signature="regress_x_to_y")
    assert (error.code, error.message) == (grpc.StatusCode.INVALID_ARGUMENT, "Input is empty.")


def test_several_signatures_look_at_the_same_examples(client):
    answers = client.multi_inference(
        "half_plus_two_of_examples",
        [{"x": 2.0}],
        {"regress_x_to_y2": "regress", "classify_x_to_y": "classify"},
    )
    assert list(answers) == ["regress_x_to_y2", "classify_x_to_y"]
    assert answers["regress_x_to_y2"].tolist() == [4]
    assert answers["classify_x_to_y"] == [[("", 3.0)]]


def test_models_are_reloaded_and_labels_lead_to_their_versions(repository, tmp_path):
    from tests.serving.in_process import serving
    from tests.serving.saved_models import half_plus_two, publish

    base = tmp_path / "m"
    base.mkdir()
    publish(repository / "half_plus_two" / "1", base, 1)
    publish(half_plus_two(tmp_path / "other", two=5.0), base, 2)
    x = {"x": floats(2)}
    with (
        serving(Model("old", repository / "half_plus_two")) as address,
        Client(address, timeout=30) as client,
    ):
        assert client.reload([ModelConfig("m", str(base), versions=[1, 2])]) == {}
        assert client.wait_until_ready("m", version=1) == 1
        assert client.wait_until_ready("m", version=2) == 2
        labelled = ModelConfig("m", str(base), [1, 2], {"stable": 1, "canary": 2})
        client.reload([labelled])
        assert client.predict("m", x, label="")["y"] == 6
        assert client.predict("m", x)["y"] == 3
        assert client.predict("m", x, label="stable")["y"] == 3
        assert client.version("m", label="canary") == 2
        assert client.predict("m", x, version=1)["y"] == 3
        assert "serving_default" in client.metadata("m", label="canary")
        error = refused(client.predict, "m", x, label="gone")
        assert error.message == "Unrecognized servable version label: gone"
        assert refused(client.predict, "old", x).code is grpc.StatusCode.NOT_FOUND
        error = refused(client.reload, [labelled, labelled])
        assert error.message == "Illegal to list model m multiple times in config list"
        weights = {"stable": 1.0, "canary": 1.0}
        with Client(address, timeout=20, labels=weights) as split:
            assert split.wait_until_ready("m") == 1
            answers = {split.predict("m", x, key=str(user))["y"].item() for user in range(20)}
            assert answers == {3, 6}
        with Client(address, timeout=20, label="stable") as stable:
            assert stable.predict("m", x)["y"] == 3
            assert stable.wait_until_ready("m") == 1
            error = refused(stable.wait_until_ready, "m", label="gone", timeout=0.3)
            assert error.message == "Unrecognized servable version label: gone"


def test_the_embedded_server_says_that_it_is_healthy(repository):
    from serving.server import grpc_services
    from tests.serving.in_process import managed

    with managed(Model("half_plus_two", repository / "half_plus_two")) as core:
        server, port = grpc_services.serve(core, grpc_services.Listeners(0), threads=2, health=True)
        with Client(f"127.0.0.1:{port}", timeout=20) as client:
            assert client.healthy()
            assert client.healthy("PredictionService")
            assert refused(client.healthy, "Nothing").code is grpc.StatusCode.NOT_FOUND
            server.stop(0).wait()
            assert not client.healthy(timeout=5)


def test_the_status_lists_the_versions(client):
    assert client.status("half_plus_two") == [VersionStatus(1, "AVAILABLE", "")]
    assert client.status("half_plus_two", version=1) == [VersionStatus(1, "AVAILABLE", "")]
    error = refused(client.status, "half_plus_two", version=2)
    assert error.message == "Could not find version 2 of model half_plus_two"


def test_closing_a_client_cancels_the_calls_that_wait():
    arrived, release = threading.Event(), threading.Event()

    def wait(_):
        arrived.set()
        release.wait(60)

    recorder = Recorder(Predict=wait)
    with bare_server(recorder) as address, ThreadPoolExecutor(1) as pool:
        client = Client(address, timeout=60)
        waits = pool.submit(client.predict, "m", {"x": 1})
        assert arrived.wait(20)
        client.close()
        error = waits.exception(20)
        release.set()
    assert isinstance(error, ServingError)
    assert error.code is grpc.StatusCode.CANCELLED


def test_threads_share_a_client(client):
    def ask(number: int) -> bool:
        x = floats(*range(number))
        answer = client.predict("half_plus_two", {"x": x})
        return bool(np.array_equal(answer["y"], x / 2 + 2))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


def test_a_server_that_is_not_there_is_unavailable():
    with Client("127.0.0.1:1", timeout=5, attempts=2) as client:
        for call in (client.status, client.metadata):
            assert refused(call, "m").code is grpc.StatusCode.UNAVAILABLE
        assert refused(client.predict, "m", {"x": 1}).code is grpc.StatusCode.UNAVAILABLE


def test_an_available_version_needs_no_wait(client):
    assert client.wait_until_ready("half_plus_two") == 1
    assert client.wait_until_ready("half_plus_two", version=1, timeout=0) == 1


def test_waiting_ends_with_the_last_answer_when_the_time_is_over(client):
    begun = time.monotonic()
    error = refused(client.wait_until_ready, "nobody", timeout=0.3)
    assert 0.3 <= time.monotonic() - begun < 5
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert error.message == "Could not find any versions of model nobody"


def test_waiting_for_a_server_that_never_says_a_word_ends_in_time():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Client(f"127.0.0.1:{silent.getsockname()[1]}") as client,
    ):
        begun = time.monotonic()
        refused(client.wait_until_ready, "m", timeout=0.3)
        assert time.monotonic() - begun < 5


def test_waiting_sees_the_server_and_then_the_version_come(repository, tmp_path):
    from tests.serving.in_process import serving
    from tests.serving.saved_models import publish

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    waited: list[object] = []

    def wait(version: int | None) -> None:
        with Client(f"127.0.0.1:{port}") as client:
            waited.append(client.wait_until_ready("m", version=version, timeout=60))

    good = repository / "half_plus_two" / "1"
    (tmp_path / "m").mkdir()
    publish(good, tmp_path / "m", 1)
    first = threading.Thread(target=wait, args=(None,))
    second = threading.Thread(target=wait, args=(2,))
    first.start()
    second.start()
    time.sleep(0.3)
    assert waited == []
    with serving(Model("m", tmp_path / "m"), port=port):
        first.join(60)
        assert waited == [1]
        publish(good, tmp_path / "m", 2)
        second.join(60)
    assert waited == [1, 2]


def test_waiting_for_a_version_that_failed_ends_at_once_with_its_error(repository, tmp_path):
    from tests.serving.in_process import serving
    from tests.serving.saved_models import publish

    base = tmp_path / "m"
    base.mkdir()
    publish(repository / "half_plus_two" / "1", base, 1)
    with serving(Model("m", base)) as address, Client(address) as client:
        (base / "2").mkdir()
        begun = time.monotonic()
        error = refused(client.wait_until_ready, "m", version=2, timeout=60)
        assert time.monotonic() - begun < 30
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert "2 END Specified file path does not appear to contain a SavedModel" in error.message
        assert client.wait_until_ready("m") == 1


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


HEAVY = "{'tensorflow', 'tensorflow_serving', 'keras', 'mlflow', 'matplotlib', 'ml_dtypes'}"


def test_a_process_with_a_client_imports_no_tensorflow(address):
    printed = python(
        "import sys\n"
        "import numpy as np\n"
        "from serving.client import Client\n"
        f"with Client({address!r}, timeout=20) as client:\n"
        "    print(client.predict('half_plus_two', {'x': np.ones(1, np.float32)})['y'])\n"
        f"print(sorted(set(sys.modules) & {HEAVY}))\n"
    )
    assert printed.splitlines() == ["[2.5]", "[]"]


def test_a_query_from_the_command_line_imports_no_tensorflow(address, tmp_path):
    from PIL import Image

    Image.new("RGB", (4, 4), "white").save(tmp_path / "white.png")
    printed = python(
        "import runpy, sys\n"
        f"sys.argv = ['serving', 'query', 'brightness', {str(tmp_path / 'white.png')!r}, "
        f"'--address', {address!r}]\n"
        "try:\n"
        "    runpy.run_module('serving', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    print('exit', end.code)\n"
        f"print(sorted(set(sys.modules) & {HEAVY}))\n"
    )
    assert "bright" in printed
    assert printed.splitlines()[-2:] == ["exit 0", "[]"]


def test_the_client_gets_on_with_tensorflow_in_the_same_process(client):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    assert predict_pb2.PredictRequest().DESCRIPTOR.full_name == "tensorflow.serving.PredictRequest"
    x = tf.constant([1.0, 2.0])
    assert client.predict("half_plus_two", {"x": x})["y"].tolist() == [2.5, 3]
