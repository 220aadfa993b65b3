"""The process in which requests are tried: what it answers, how it ends, and what follows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from serving.errors import ServingError
from serving.server.servables.sandbox import AbortError, Sandbox
from serving.server.servables.sandbox_messages import Answer, Run
from serving.server.servables.session import Session
from serving.server.servables.tflite import TFLITE_FILE, TfLiteSession
from serving.server.zygote import Zygote
from tests.serving import saved_models, tflite_models
from tests.serving.saved_models import floats
from tests.serving.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent.parent.parent.parent

X, Y = "serving_default_x:0", "StatefulPartitionedCall:0"
ENDLESS = np.int64(2**62)


@pytest.fixture(scope="module")
def shared(zygote):
    """A sandbox with default options."""
    sandbox = Sandbox(zygote)
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="module")
def strict(zygote):
    """A sandbox that keeps one model, and ends what is idle or late sooner than by default."""
    sandbox = Sandbox(zygote, models=1, grace_seconds=0.2, idle_seconds=1.0)
    yield sandbox
    sandbox.close()


@pytest.fixture
def own(zygote):
    """Makes sandboxes with other options."""
    made = []

    def make(zygote: Zygote = zygote, **options: Any) -> Sandbox:
        made.append(Sandbox(zygote, **options))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


def names(path: Path, signature: str = "serving_default") -> tuple[dict[str, str], dict[str, str]]:
    """Returns the tensors of a signature by alias, inputs and outputs."""
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    signature_def = saved.meta_graphs[0].signature_def[signature]
    inputs = {alias: info.name for alias, info in signature_def.inputs.items()}
    return inputs, {alias: info.name for alias, info in sorted(signature_def.outputs.items())}


def ask(
    sandbox: Sandbox,
    path: Path,
    signature: str = "serving_default",
    timeout: float | None = None,
    **inputs: Any,
) -> dict[str, np.ndarray]:
    fed, fetched = names(path, signature)
    feeds = {fed[alias]: value for alias, value in inputs.items()}
    return dict(
        zip(fetched, sandbox.run(path, feeds, list(fetched.values()), timeout), strict=True)
    )


def convolve(sandbox: Sandbox, repository: Path, *shape: int) -> tuple[int, ...]:
    """A model whose kernel aborts on images of another rank than 4."""
    images = np.ones(shape, np.float32)
    return ask(sandbox, repository / "count" / "1", "convolve", images=images)["filtered"].shape


def refused(function: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(ServingError) as raised:
        function()
    return raised.value.code, raised.value.message


LATE = (grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification")


def process_of(sandbox: Sandbox) -> psutil.Process:
    assert sandbox.child
    return psutil.Process(sandbox.child.pid)


def test_a_tensorflow_lite_model_runs_as_others_do(shared, tmp_path):
    path = tflite_models.half_plus_two(tmp_path / "1")
    (output,) = TfLiteSession(path).signatures["serving_default"].outputs.values()
    x = np.array([[1, 2]], np.float32)
    (y,) = shared.run(path / TFLITE_FILE, {X: x}, [output.name])
    assert y.tolist() == [[2.5, 3]]


def test_the_answers_are_those_of_a_session(shared, repository):
    path = repository / "every_dtype" / "1"
    session = Session(path)
    fed, fetched = names(path)
    values = {
        "string": np.array([[b"", b"\0a\0"]], object),
        "bfloat16": np.array([1.5, -2], ml_dtypes.bfloat16),
        "bool": np.array(True),
        "complex64": np.array([1j], np.complex64),
    }
    feeds = {
        tensor: values.get(alias, np.zeros((0, 2)).astype(tf.as_dtype(alias).as_numpy_dtype))
        for alias, tensor in fed.items()
        if alias not in values
    } | {fed[alias]: value for alias, value in values.items()}
    here = session.run(feeds, list(fetched.values()))
    there = shared.run(path, feeds, list(fetched.values()))
    session.close()
    for one, other in zip(here, there, strict=True):
        assert (one.dtype, one.shape, one.tolist()) == (other.dtype, other.shape, other.tolist())


@pytest.mark.parametrize(
    ("inputs"),
    [
        {"a": floats(1, 2), "b": floats(1, 2, 3)},
        {"a": np.ones(2), "b": floats(1, 2)},
    ],
    ids=["shapes", "dtypes"],
)
def test_the_errors_are_those_of_a_session(shared, repository, inputs):
    path = repository / "sum_and_difference" / "1"
    session = Session(path)
    fed, fetched = names(path)
    feeds = {fed[alias]: value for alias, value in inputs.items()}
    outputs = list(fetched.values())
    here = refused(lambda: session.run(feeds, outputs))
    session.close()
    assert refused(lambda: shared.run(path, feeds, outputs)) == here
    assert here[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_threads_wait_their_turn_and_get_their_own_answers(shared, repository):
    path = repository / "half_plus_two" / "1"

    def work(seed: int) -> None:
        for i in range(25):
            x = floats(*range(seed, seed + i))
            assert ask(shared, path, x=x)["y"].tolist() == (x / 2 + 2).tolist()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_a_deadline_ends_a_run_and_no_more(shared, repository):
    path = repository / "count" / "1"
    assert ask(shared, path, number=np.int64(3))["counted"] == 3
    child = shared.child
    assert refused(lambda: ask(shared, path, timeout=0.2, number=ENDLESS)) == LATE
    assert ask(shared, path, timeout=60, number=np.int64(4))["counted"] == 4
    assert shared.child is child


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_without_time_left_nothing_is_run(shared, repository, timeout):
    path = repository / "count" / "1"
    assert refused(lambda: ask(shared, path, timeout=timeout, number=ENDLESS)) == LATE


@pytest.mark.parametrize("timeout", [1e6, 1e10, 9.2e18, float("inf")])
def test_there_may_be_any_time_to_answer(shared, repository, timeout):
    path = repository / "count" / "1"
    assert ask(shared, path, timeout=timeout, number=np.int64(5))["counted"] == 5


def test_a_deadline_counts_while_another_request_runs(shared, repository):
    path = repository / "count" / "1"
    ask(shared, path, number=np.int64(1))
    other = threading.Thread(
        target=lambda: refused(lambda: ask(shared, path, timeout=3, number=ENDLESS))
    )
    other.start()
    eventually(shared._turn.locked)
    begun = time.monotonic()
    assert refused(lambda: ask(shared, path, timeout=0.2, number=np.int64(1))) == LATE
    assert time.monotonic() - begun < 2
    other.join()


def test_only_so_many_requests_may_wait(shared, repository, monkeypatch):
    monkeypatch.setattr(shared, "_places", threading.BoundedSemaphore(4))
    path = repository / "count" / "1"
    ask(shared, path, number=np.int64(1))
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(refused, lambda: ask(shared, path, timeout=2, number=ENDLESS))
            for _ in range(8)
        ]
        answers = [answer.result(60) for answer in asked]
    too_many = (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "too many requests that do not fit their signature wait to be tried",
    )
    assert answers.count(LATE) == 5
    assert answers.count(too_many) == 3
    assert ask(shared, path, timeout=60, number=np.int64(2))["counted"] == 2


@pytest.mark.parametrize("version", ["1", "none"], ids=["not run", "not loaded"])
def test_a_request_whose_time_is_over_is_not_begun(shared, repository, version):
    path = repository / "count" / version
    fed, fetched = names(repository / "count" / "1")
    ask(shared, repository / "count" / "1", number=np.int64(1))
    process = shared._process
    feeds, over = {fed["number"]: np.array(1, np.int64)}, time.monotonic() - 1
    process.send(Run(0, str(path), feeds, [fetched["counted"]], over))
    code, text = LATE
    assert process.child.connection.recv() == Answer(0, "error", (code.name, text))


def test_a_model_that_cannot_be_loaded_again_is_unavailable(shared, repository, tmp_path):
    damaged = saved_models.publish(repository / "half_plus_two" / "1", tmp_path, 1)
    (damaged / "variables" / "variables.index").write_bytes(b"damaged" * 20)
    code, text = refused(lambda: shared.run(damaged, {X: floats(1)}, [Y]))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert text.startswith(
        "a request unlike the signature cannot be tried beforehand: DATA_LOSS: not an sstable"
    )
    assert ask(shared, repository / "half_plus_two" / "1", x=floats(1))["y"] == [2.5]


def test_a_request_that_aborts_ends_one_process_and_the_next_request_has_another(
    shared, repository
):
    sandbox = shared
    assert convolve(sandbox, repository, 1, 8, 8, 1) == (1, 8, 8, 4)
    first = process_of(sandbox)
    for shape in ((8, 8, 1), ()):
        with pytest.raises(AbortError) as raised:
            convolve(sandbox, repository, *shape)
        assert raised.value.reason == "SIGABRT"
        assert sandbox.child is None
    assert not first.is_running()
    assert convolve(sandbox, repository, 2, 8, 8, 1) == (2, 8, 8, 4)


def test_a_process_killed_in_mid_run_ends_that_request_only(shared, repository):
    sandbox = shared
    path = repository / "count" / "1"
    ask(sandbox, path, number=np.int64(1))
    process = process_of(sandbox)
    before = sum(process.cpu_times()[:2])
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(refused, lambda: ask(sandbox, path, number=ENDLESS))
        eventually(lambda: sum(process.cpu_times()[:2]) > before + 0.1)
        waiting = pool.submit(ask, sandbox, path, number=np.int64(7))
        process.kill()
        code, text = running.result(60)
        assert waiting.result(60)["counted"] == 7
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert text == (
        "the process that tried the request was killed (SIGKILL), as it happens when memory "
        "runs out"
    )


def test_a_process_killed_while_it_waited_is_replaced_unnoticed(shared, repository):
    sandbox = shared
    path = repository / "half_plus_two" / "1"
    ask(sandbox, path, x=floats(1))
    process_of(sandbox).kill()
    assert ask(sandbox, path, x=floats(2))["y"] == [3]


def test_a_process_that_cannot_start_makes_requests_unavailable(own, monkeypatch, repository):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    sandbox = own(Zygote())
    code, text = refused(lambda: ask(sandbox, repository / "half_plus_two" / "1", x=floats(2)))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert text == "the process that tries unusual requests ends before it can run one"


def test_a_deadline_counts_while_the_process_starts_which_goes_on(own, repository):
    zygote = Zygote()
    sandbox = own(zygote)
    path = repository / "half_plus_two" / "1"
    begun = time.monotonic()
    assert refused(lambda: ask(sandbox, path, timeout=0.1, x=floats(1))) == LATE
    assert time.monotonic() - begun < 2
    child = sandbox.child
    assert ask(sandbox, path, timeout=60, x=floats(2))["y"] == [3]
    assert sandbox.child is child
    zygote.close()


def test_after_a_while_without_work_the_process_ends_and_a_request_starts_another(
    strict, repository
):
    sandbox = strict
    path = repository / "half_plus_two" / "1"
    ask(sandbox, path, x=floats(1))
    child = sandbox.child
    assert child.wait() == 0
    assert ask(sandbox, path, x=floats(2))["y"] == [3]
    assert sandbox.child is not child


def test_a_model_is_loaded_again_when_it_was_forgotten_or_displaced(strict, tmp_path):
    """What is on disk is another model by then, so that one sees which was loaded."""
    sandbox = strict
    one, other = (saved_models.half_plus_two(tmp_path / name) for name in ("one", "other"))

    def replaced(two: float) -> None:
        shutil.rmtree(one)
        saved_models.half_plus_two(one, two=two)

    assert ask(sandbox, one, x=floats(0))["y"] == [2]
    replaced(3.0)
    assert ask(sandbox, one, x=floats(0))["y"] == [2]
    sandbox.forget(one)
    assert ask(sandbox, one, x=floats(0))["y"] == [3]
    replaced(4.0)
    assert ask(sandbox, other, x=floats(0))["y"] == [2]
    assert ask(sandbox, one, x=floats(0))["y"] == [4]


def test_a_run_that_does_not_heed_its_deadline_is_killed(strict, tmp_path):
    """The runtime looks at deadlines between ops only: here is one op that takes minutes."""
    path = saved_models.stateless(
        tmp_path / "1",
        saved_models.tensor(tf.int32),
        serving_default=lambda size: {"y": tf.linalg.eigh(tf.random.normal([size, size]))[0][:1]},
    )
    sandbox = strict
    assert ask(sandbox, path, size=np.int32(2))["y"].shape == (1,)
    process = process_of(sandbox)
    begun = time.monotonic()
    assert refused(lambda: ask(sandbox, path, timeout=0.3, size=np.int32(6000))) == LATE
    assert time.monotonic() - begun < 5
    eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert time.monotonic() - begun < 10
    assert ask(sandbox, path, timeout=60, size=np.int32(3))["y"].shape == (1,)


def test_there_is_nothing_to_forget_or_close_where_nothing_was_started(tmp_path):
    sandbox = Sandbox(Zygote())
    sandbox.forget(tmp_path)
    sandbox.close()
    sandbox.close()


def test_tags_and_config_are_passed_on(own, repository, tmp_path):
    path = repository / "half_plus_two" / "1"
    sandbox = own(tags=["other"], config=config_pb2.ConfigProto(device_count={"CPU": 0}))
    code, text = refused(lambda: sandbox.run(path, {X: floats(1)}, [Y]))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "tags: { other }" in text
    path = saved_models.publish(path, tmp_path, 1)
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    saved.meta_graphs[0].meta_info_def.tags[:] = ["other"]
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    code, text = refused(lambda: sandbox.run(path, {X: floats(1)}, [Y]))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "No CPU devices are available" in text


PARENT = """
import sys, threading
from pathlib import Path
import numpy as np
from serving.server.servables.sandbox import Sandbox
from serving.server.zygote import Zygote

path, fed, fetched = Path(sys.argv[1]), *sys.argv[2:]
sandbox = Sandbox(Zygote())
sandbox.run(path, {fed: np.int64(1)}, [fetched])
print(sandbox.child.pid, flush=True)
sandbox.run(path, {fed: np.int64(2**62)}, [fetched])
"""


def test_the_process_dies_with_its_parent_even_in_mid_run(repository):
    path = repository / "count" / "1"
    fed, fetched = names(path)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path), fed["number"], fetched["counted"]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    try:
        child = psutil.Process(int(parent.stdout.readline()))
        before = sum(child.cpu_times()[:2])
        eventually(lambda: sum(child.cpu_times()[:2]) > before + 0.1)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
