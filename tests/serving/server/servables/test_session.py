"""SavedModels of TensorFlow 1 and 2 in a session, whole and damaged."""

from __future__ import annotations

import gc
import json
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from serving.errors import ServingError
from serving.server.servables.session import Session
from tests.serving import saved_models
from tests.serving.saved_models import floats

ROOT = Path(__file__).resolve().parent.parent.parent.parent.parent


@pytest.fixture
def opened(repository):
    """Opens models of the repository and closes them in the end."""
    sessions = []

    def opened(model: str) -> Session:
        sessions.append(Session(repository / model / "1"))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


def ask(
    session: Session,
    signature: str = "serving_default",
    timeout: float | None = None,
    **inputs: Any,
) -> dict[str, np.ndarray]:
    """Runs a signature by the names of its inputs and outputs."""
    definition = session.signatures[signature]
    feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
    fetches = {name: info.name for name, info in sorted(definition.outputs.items())}
    return dict(zip(fetches, session.run(feeds, list(fetches.values()), timeout), strict=True))


def refused(code: grpc.StatusCode, function: Callable[[], object]) -> str:
    """Returns the text of a refusal that must have this code."""
    with pytest.raises(ServingError) as raised:
        function()
    assert raised.value.code is code, raised.value
    return raised.value.message


@pytest.mark.parametrize("model", ["half_plus_two", "half_plus_two_of_tensorflow_1"])
def test_models_of_tensorflow_1_and_2_answer_alike(opened, model):
    session = opened(model)
    assert session.signatures["serving_default"].method_name == "tensorflow/serving/predict"
    np.testing.assert_array_equal(ask(session, x=floats(1, 2))["y"], floats(2.5, 3))


def test_tables_are_filled_from_the_assets(opened):
    answer = ask(opened("vocabulary"), words=np.array([b"two", b"zero", b"three"], object))
    assert answer["numbers"].tolist() == [2, 0, -1]


def test_the_shape_of_the_signature_is_not_enforced(opened):
    session = opened("half_plus_two")
    for shape in ((), (0,), (1,), (2, 3), (1, 2, 3, 4)):
        assert ask(session, x=np.ones(shape, np.float32))["y"].shape == shape


def test_the_runtime_words_its_own_errors(opened):
    session = opened("sum_and_difference")
    text = refused(
        grpc.StatusCode.INVALID_ARGUMENT, lambda: ask(session, a=np.ones(1), b=floats(1))
    )
    assert text == "Expects arg[0] to be float but double is provided"
    text = refused(
        grpc.StatusCode.INVALID_ARGUMENT, lambda: ask(session, a=floats(1, 2), b=floats(1, 2, 3))
    )
    assert text.startswith("Incompatible shapes: [2] vs. [3]\n\t [[")


def test_a_tensor_may_be_named_without_its_index(opened):
    session = opened("half_plus_two_of_tensorflow_1")
    np.testing.assert_array_equal(ask(session, "without_index", x=floats(2))["y"], floats(3))


def test_a_signature_that_names_a_missing_tensor_spoils_no_other(opened):
    session = opened("half_plus_two_of_tensorflow_1")
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: ask(session, "broken", x=floats(1)))
    assert text == (
        "Tensor gone:0, specified in either feed_devices or fetch_devices was not found in the "
        "Graph"
    )
    np.testing.assert_array_equal(ask(session, x=floats(2))["y"], floats(3))


def test_an_input_cannot_be_an_output(opened):
    session = opened("half_plus_two_of_tensorflow_1")
    text = refused(
        grpc.StatusCode.INVALID_ARGUMENT, lambda: ask(session, "passes_through", x=floats(1))
    )
    assert text == "x:0 is both fed and fetched."


def test_a_run_that_takes_too_long_is_given_up(opened):
    session = opened("count")
    begun = time.monotonic()
    text = refused(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        lambda: ask(session, timeout=0.05, number=np.int64(2**62)),
    )
    assert text == "Timed out waiting for notification"
    assert 0.05 <= time.monotonic() - begun < 5
    assert ask(session, timeout=5, number=np.int64(3))["counted"] == 3


@pytest.mark.parametrize("timeout", [None, 1.0, 1e6, 1e9, 1e10, 9.2e18, float("inf")])
def test_there_may_be_any_time_to_answer(opened, timeout):
    """A call without a deadline has one in 292 billion years for gRPC."""
    assert ask(opened("count"), timeout=timeout, number=np.int64(100))["counted"] == 100


@pytest.mark.parametrize("timeout", [0.0, -1.0, 1e-9])
def test_no_time_is_a_millisecond(opened, timeout):
    text = refused(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        lambda: ask(opened("count"), timeout=timeout, number=np.int64(2**62)),
    )
    assert text == "Timed out waiting for notification"


def test_an_error_that_quotes_bytes_of_the_request_is_told_all_the_same(tmp_path):
    path = saved_models.stateless(
        tmp_path / "1",
        saved_models.tensor(tf.string, None),
        serving_default=lambda x: {"y": tf.strings.to_number(x)},
    )
    session = Session(path)
    text = refused(
        grpc.StatusCode.INVALID_ARGUMENT, lambda: ask(session, x=np.array([b"\xb8\xff"], object))
    )
    session.close()
    assert "StringToNumberOp could not correctly convert string" in text


def test_a_config_sets_up_the_session(repository):
    session = Session(
        repository / "half_plus_two" / "1", config=config_pb2.ConfigProto(device_count={"CPU": 3})
    )
    assert len(session._session.list_devices()) == 3
    assert not session.on_gpu
    assert ask(session, x=floats(2))["y"] == [3]
    session.close()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors keep denormals")
def test_denormals_are_zero_in_the_callers_thread_as_elsewhere(opened):
    session = opened("sum_and_difference")
    a, b = np.full(1, 1e-40, np.float32), np.zeros(1, np.float32)
    assert ask(session, a=a, b=b) == {"difference": [0], "sum": [0]}
    halves = ask(session, a=np.array([1.5e-38], np.float32), b=np.array([1.4e-38], np.float32))
    assert halves["difference"].tolist() == [0]
    many = ask(session, a=np.repeat(a, 10**6), b=np.repeat(b, 10**6))
    assert not many["sum"].any()
    assert (a * np.float32(0.5)).item() > 0  # The thread itself goes on as before.


def test_small_requests_run_in_the_callers_thread_and_large_ones_elsewhere(opened):
    """Seen by the time that the caller's thread spends on processing."""
    session = opened("half_plus_two")

    def share(size: int) -> float:
        """Returns the fraction of the work on `size` floats that this thread does."""
        x = np.ones(size, np.float32)
        ask(session, x=x)
        process, thread = time.process_time(), time.thread_time()
        for _ in range(300):
            ask(session, x=x)
        return (time.thread_time() - thread) / (time.process_time() - process)

    # Threads of other tests may take their part meanwhile, which only lowers the fraction.
    assert max(share(1) for _ in range(5)) > 0.9
    assert share(1_000_000) < 0.9


FRESH = """
import json, sys
from pathlib import Path
import numpy as np

sys.modules["tensorflow_text"] = None  # As where it is not installed.
from serving.server.process import import_tensorflow

import_tensorflow()  # Without Keras, which TF-Text imports later.
from serving.errors import ServingError
from serving.server.servables.session import Session

texts, plain = map(Path, sys.argv[1:])

def ask(path, x):
    signature = (session := Session(path)).signatures["serving_default"]
    (fed,), (name,) = signature.inputs.values(), signature.outputs
    (answer,) = session.run({fed.name: x}, [signature.outputs[name].name])
    return answer.tolist()

text = np.array([b"a b.c", b""], object)
try:
    ask(texts, text)
except ServingError as error:
    refusal = [error.code.name, error.message]
half = ask(plain, np.float32([3]))
del sys.modules["tensorflow_text"]
ask(plain, np.float32([3]))
imported = ["tensorflow_text" in sys.modules]
lengths = ask(texts, text)
imported.append("tensorflow_text" in sys.modules)
print(json.dumps([refusal, half, imported, lengths]))
"""


@pytest.fixture(scope="module")
def beside_tf_text(repository, tmp_path_factory) -> list:
    """What a new process, first without TF-Text and then with it, makes of two models."""
    import tensorflow_text

    def counted(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"words": tensorflow_text.regex_split(text, r"[\s.]").row_lengths()}

    path = saved_models.stateless(
        tmp_path_factory.mktemp("text") / "1",
        saved_models.tensor(tf.string, None),
        serving_default=counted,
    )
    command = [sys.executable, "-c", FRESH, str(path), str(repository / "half_plus_two" / "1")]
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


def test_ops_of_tf_text_are_registered_for_a_model_that_needs_them(beside_tf_text):
    """TensorFlow Serving carries them; here they are imported, and for such models alone."""
    _, _, imported, lengths = beside_tf_text
    assert lengths == [3, 0]
    assert imported == [False, True]


def test_where_there_is_no_tf_text_the_missing_op_is_named_and_other_models_are_served(
    beside_tf_text,
):
    (code, message), half, _, _ = beside_tf_text
    assert code == "NOT_FOUND"
    assert message.startswith("Op type not registered 'RegexSplitWithOffsets' in binary")
    assert half == [3.5]


def test_threads_share_a_session(opened):
    session = opened("sum_and_difference")
    wrong: list[object] = []

    def work(seed: int) -> None:
        generator = np.random.default_rng(seed)
        for _ in range(150):
            a, b = generator.normal(size=(2, generator.integers(1, 50))).astype(np.float32)
            answer = ask(session, a=a, b=b)
            if not (
                np.array_equal(answer["sum"], a + b) and np.array_equal(answer["difference"], a - b)
            ):
                wrong.append((a, b, answer))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_closed_session_refuses_and_may_be_closed_again(opened):
    session = opened("half_plus_two")
    session.close()
    session.close()
    text = refused(grpc.StatusCode.CANCELLED, lambda: ask(session, x=floats(1)))
    assert text == "Session has been closed."


@pytest.fixture
def version(repository, tmp_path) -> Path:
    """A copy of a good version, to be damaged."""
    return saved_models.publish(repository / "half_plus_two" / "1", tmp_path, 1)


def test_the_copy_is_good(version):
    Session(version).close()


def test_a_folder_without_a_model_is_not_found(tmp_path):
    assert refused(grpc.StatusCode.NOT_FOUND, lambda: Session(tmp_path)) == (
        "Specified file path does not appear to contain a SavedModel bundle (should have a file "
        f"called `saved_model.pb`)\nSpecified file path: {tmp_path}"
    )


def test_a_model_that_cannot_be_parsed_is_lost_data(version):
    proto = version / "saved_model.pb"
    for content in (b"garbage", proto.read_bytes()[:-1]):
        proto.write_bytes(content)
        text = refused(grpc.StatusCode.DATA_LOSS, lambda: Session(version))
        assert text == f"Can't parse {proto} as binary proto"


def test_a_model_without_the_tags_is_not_found(version):
    text = refused(grpc.StatusCode.NOT_FOUND, lambda: Session(version, ["serve", "gpu"]))
    assert text == (
        "Could not find meta graph def matching supplied tags: { gpu serve }. To inspect "
        "available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
    )
    (version / "saved_model.pb").write_bytes(b"")
    assert "tags: { serve }" in refused(grpc.StatusCode.NOT_FOUND, lambda: Session(version))


DATA = "variables/variables.data-00000-of-00001"


def test_missing_variables_are_not_found(version):
    (version / DATA).unlink()
    text = refused(grpc.StatusCode.NOT_FOUND, lambda: Session(version))
    assert text.startswith(f"{version / DATA}; No such file or directory\n\t [[")


def test_a_missing_folder_of_variables_is_not_found(version):
    shutil.rmtree(version / "variables")
    text = refused(grpc.StatusCode.NOT_FOUND, lambda: Session(version))
    assert str(version / "variables") in text


def test_truncated_variables_are_out_of_range(version):
    (version / DATA).write_bytes((version / DATA).read_bytes()[:3])
    text = refused(grpc.StatusCode.OUT_OF_RANGE, lambda: Session(version))
    assert text.startswith("Read less bytes than requested\n\t [[")


def test_a_damaged_index_of_variables_is_lost_data(version):
    (version / "variables" / "variables.index").write_bytes(b"damaged" * 20)
    text = refused(grpc.StatusCode.DATA_LOSS, lambda: Session(version))
    assert text.startswith("not an sstable (bad magic number)\n\t [[")


def test_a_missing_asset_is_not_found(repository, tmp_path):
    version = saved_models.publish(repository / "vocabulary" / "1", tmp_path, 1)
    (version / "assets" / "words.txt").unlink()
    text = refused(grpc.StatusCode.NOT_FOUND, lambda: Session(version))
    assert text.startswith(f"{version}/assets/words.txt; No such file or directory\n\t [[")


def open_sessions() -> int:
    gc.collect()
    return sum(
        isinstance(thing, tf.compat.v1.Session) and not thing._closed for thing in gc.get_objects()
    )


def test_a_model_that_fails_to_load_leaves_no_session_behind(version):
    before = open_sessions()
    (version / "variables" / "variables.index").unlink()
    refused(grpc.StatusCode.NOT_FOUND, lambda: Session(version))
    (version / "saved_model.pb").write_bytes(b"garbage")
    refused(grpc.StatusCode.DATA_LOSS, lambda: Session(version))
    assert open_sessions() == before


def test_closing_gives_back_memory_and_threads(tmp_path):
    class Large(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = tf.Variable(np.ones(4_000_000, np.float32))

        @tf.function(input_signature=[saved_models.tensor(tf.float32)])
        def __call__(self, x):
            return {"y": tf.reduce_sum(self.weights) * x}

    module = Large()
    tf.saved_model.save(module, str(tmp_path), signatures=module.__call__)
    process = psutil.Process()

    def once() -> None:
        session = Session(tmp_path)
        assert ask(session, x=np.float32(1))["y"] == 4_000_000
        session.close()

    for _ in range(10):  # Until then, the allocator keeps more and more for later.
        once()
    megabytes, threads = process.memory_info().rss >> 20, process.num_threads()
    for _ in range(20):
        once()
    assert (process.memory_info().rss >> 20) - megabytes < 7 * 16
    assert process.num_threads() <= threads + 2
