"""Which requests run at once, which are tried first, and what is remembered of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.protobuf import meta_graph_pb2

from serving.errors import ServingError
from serving.server.servables.guard import GuardedSession
from serving.server.servables.sandbox import AbortError, Sandbox
from serving.server.servables.session import Session
from serving.server.suspects import Suspects
from tests.serving import saved_models
from tests.serving.saved_models import floats
from tests.serving.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent.parent.parent.parent
PATH = Path("/models/m/1")


def signature(**shapes: tuple[int, ...] | None) -> meta_graph_pb2.SignatureDef:
    """Returns a signature with inputs of these shapes, called TENSOR:0; None: of unknown rank."""
    definition = meta_graph_pb2.SignatureDef()
    for alias, shape in shapes.items():
        info = definition.inputs[alias]
        info.name = f"{alias.upper()}:0"
        info.tensor_shape.unknown_rank = shape is None
        for size in shape or ():
            info.tensor_shape.dim.add().size = size
    return definition


class Recorded:
    """Stands for a session and for a sandbox; notes what is run, and fails when told to."""

    on_gpu = False

    def __init__(self, folder: Path, **signatures: meta_graph_pb2.SignatureDef) -> None:
        self.suspects = Suspects(folder, 0)
        self.signatures = signatures
        self.here: list[tuple[int, ...]] = []
        self.tried: list[tuple[int, ...]] = []
        self.forgotten: list[Path] = []
        self.closed = False
        self.failure: Exception | None = None
        self.error: Exception | None = None

    def guarded(self, **options: Any) -> GuardedSession:
        sandbox: Any = SimpleNamespace(run=self._try, forget=self.forgotten.append)
        session: Any = self
        return GuardedSession(session, sandbox, PATH, self.suspects, **options)

    def run(self, feeds, fetches, timeout=None):
        self.here.append(next(iter(feeds.values())).shape)
        if self.error:
            raise self.error
        return [np.array(1)]

    def close(self) -> None:
        self.closed = True

    def _try(self, path, feeds, fetches, timeout=None):
        assert path == PATH
        self.tried.append(next(iter(feeds.values())).shape)
        if self.failure:
            raise self.failure
        return [np.array(1)]


@pytest.fixture
def recorded(tmp_path):
    """Makes what stands for a session and a sandbox."""
    return partial(Recorded, tmp_path)


def run(guarded: GuardedSession, *shape: int, fetches: tuple[str, ...] = ("y:0",)) -> None:
    guarded.run({"X:0": np.ones(shape, np.float32)}, fetches, 1.0)


def refused(code: grpc.StatusCode, function: Callable[[], object]) -> str:
    with pytest.raises(ServingError) as raised:
        function()
    assert raised.value.code is code
    return raised.value.message


@pytest.mark.parametrize(
    ("declared", "shapes"),
    [
        ((-1, 8, 3), [(1, 8, 3), (7, 8, 3), (0, 8, 3)]),
        ((2, -1), [(2, 1), (2, 300), (2, 0)]),
        ((), [()]),
        (None, [(), (3,), (0,), (2, 3, 4)]),
        ((-1, -1, -1, 3), [(1, 500, 400, 3), (1, 1, 1, 3)]),
    ],
)
def test_what_the_signature_declares_runs_at_once(recorded, declared, shapes):
    here = recorded(serving_default=signature(x=declared))
    guarded = here.guarded()
    for shape in shapes * 2:
        run(guarded, *shape)
    assert here.here == shapes * 2
    assert here.tried == []


@pytest.mark.parametrize("shape", [(8, 3), (), (1, 1, 8, 3), (1, 8, 4), (1, 3, 8), (1, 0, 3)])
def test_any_other_rank_or_size_is_tried_once_and_answered_by_the_session(recorded, shape):
    here = recorded(serving_default=signature(x=(-1, 8, 3)))
    guarded = here.guarded()
    run(guarded, *shape)
    run(guarded, *shape)
    assert (here.here, here.tried) == ([shape, shape], [shape])


def test_a_tensor_of_several_signatures_may_have_the_shape_of_any(recorded):
    here = recorded(one=signature(x=(-1, 2)), other=signature(x=(3, -1)))
    guarded = here.guarded()
    for shape in ((5, 2), (3, 5), (3, 2)):
        run(guarded, *shape)
    assert here.tried == []
    run(guarded, 5, 5)
    assert here.tried == [(5, 5)]


@given(
    declared=st.lists(st.lists(st.integers(-1, 3), max_size=3), min_size=1, max_size=3),
    shape=st.lists(st.integers(0, 3), max_size=3),
)
def test_a_shape_fits_if_one_declared_shape_has_its_sizes(declared, shape):
    here = Recorded(
        Path("/nowhere"), **{f"s{i}": signature(x=tuple(s)) for i, s in enumerate(declared)}
    )
    run(here.guarded(), *shape)
    fits = any(
        [size if wanted == -1 else wanted for size, wanted in zip(shape, sizes, strict=True)]
        == shape
        for sizes in declared
        if len(sizes) == len(shape)
    )
    assert here.here == [tuple(shape)]
    assert here.tried == ([] if fits else [tuple(shape)])


def test_shapes_that_abort_are_refused_with_what_they_should_be_and_never_tried_again(recorded):
    here = recorded(one=signature(x=(-1, 8, 3), fine=(-1,)), other=signature(x=(-1, 4), fine=(-1,)))
    guarded = here.guarded()
    here.failure = AbortError("SIGABRT")
    for _ in range(3):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: run(guarded, 8, 3, 1))
        assert text == (
            "TensorFlow aborts (SIGABRT) on these inputs: x has shape [8,3,1] where the signature "
            "declares [-1,8,3] or [-1,4]"
        )
    assert (here.here, here.tried) == ([], [(8, 3, 1)])


def test_the_refusal_names_all_inputs_that_are_unlike_and_no_others(recorded):
    here = recorded(serving_default=signature(a=(-1,), b=(2,), c=None))
    here.failure = AbortError("SIGSEGV")
    feeds = {"A:0": floats(1), "B:0": floats(), "D:0": np.array(1, np.float32)}
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: here.guarded().run(feeds, ["y:0"]))
    assert text == (
        "TensorFlow aborts (SIGSEGV) on these inputs: b has shape [0] where the signature declares "
        "[2]; D:0 has shape [] where the signature declares none"
    )


def test_what_errs_is_tried_each_time(recorded):
    """An op may have failed before a worse one was reached."""
    here = recorded(serving_default=signature(x=(-1,)))
    guarded = here.guarded()
    here.failure = ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Incompatible shapes")
    for _ in range(2):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: run(guarded, 1, 1))
        assert text == "Incompatible shapes"
    assert (here.here, here.tried) == ([], [(1, 1)] * 2)


def test_outputs_and_dtypes_make_another_kind_of_request(recorded):
    here = recorded(serving_default=signature(x=(-1,)))
    guarded = here.guarded()
    run(guarded, 1, 1)
    run(guarded, 1, 1, fetches=("z:0",))
    guarded.run({"X:0": np.ones((1, 1))}, ["y:0"])
    assert len(here.tried) == 3


def test_the_kind_that_was_met_longest_ago_is_forgotten_first(recorded):
    here = recorded(serving_default=signature(x=(-1,)))
    guarded = here.guarded(remembered=2)
    for size in (1, 2, 1, 3, 2, 1):
        run(guarded, 1, size)
    assert here.tried == [(1, 1), (1, 2), (1, 3), (1, 1)]


def test_beside_a_gpu_a_good_answer_of_the_sandbox_proves_nothing(recorded):
    here = recorded(serving_default=signature(x=(-1,)))
    here.on_gpu = True
    guarded = here.guarded()
    for _ in range(2):
        run(guarded, 1, 1)
    assert (here.here, here.tried) == ([], [(1, 1)] * 2)


def test_closing_frees_the_model_here_and_in_the_sandbox(recorded):
    here = recorded(serving_default=signature(x=(-1,)))
    here.guarded().close()
    assert here.closed
    assert here.forgotten == [PATH]


def test_requests_of_one_kind_are_tried_once_although_they_come_together(recorded):
    here = recorded(serving_default=signature(x=(-1,)))
    guarded = here.guarded()
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> list[np.ndarray]:
        begun.set()
        assert go_on.wait(20)
        return try_(*arguments)

    try_, guarded._sandbox.run = guarded._sandbox.run, slowly
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(run, guarded, 1, 1) for _ in range(8)]
        assert begun.wait(20)
        run(guarded, 1)  # What fits is not kept waiting.
        assert here.here == [(1,)]
        go_on.set()
        for answer in answers:
            answer.result(20)
    assert here.tried == [(1, 1)]
    assert here.here == [(1,), *[(1, 1)] * 8]


def test_a_request_that_waits_for_another_of_its_kind_has_its_own_deadline(recorded):
    here = recorded(serving_default=signature(x=(-1,)))
    guarded = here.guarded()
    go_on = threading.Event()
    timeouts: list[float] = []

    def slowly(path: Path, feeds: Any, fetches: Any, timeout: float) -> list[np.ndarray]:
        timeouts.append(timeout)
        assert go_on.wait(20)
        return []

    guarded._sandbox.run = slowly
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(guarded.run, {"X:0": np.ones((1, 1))}, ["y:0"], 100.0)
        eventually(lambda: timeouts)
        second = pool.submit(guarded.run, {"X:0": np.ones((1, 1))}, ["y:0"], 0.1)
        eventually(lambda: len(timeouts) == 2)
        go_on.set()
        first.result(20)
        second.result(20)
    assert timeouts[0] > 99
    assert timeouts[1] == 0


def test_where_a_window_must_fit_small_inputs_are_tried_until_as_small_ones_went_well(recorded):
    here = recorded(serving_default=signature(x=(-1, -1, -1, 3)))
    guarded = here.guarded(pools=True)
    sent = [
        *((1, 200, 128, 3), (1, 9, 9, 3), (4, 9, 30, 3), (1, 5, 500, 3), (1, 5, 510, 3)),
        *((1, 7, 10, 3), (1, 6, 9, 3), (0, 9, 9, 3)),
    ]
    for shape in sent:
        run(guarded, *shape)
    assert here.tried == [(1, 9, 9, 3), (1, 5, 500, 3), (1, 7, 10, 3), (1, 6, 9, 3)]
    assert here.here == sent


@pytest.mark.parametrize("declared", [(-1, -1), None])
def test_sequences_may_be_too_short_for_a_window_as_well(recorded, declared):
    here = recorded(serving_default=signature(x=declared))
    guarded = here.guarded(pools=True)
    for length in (130, 5, 6, 4):
        run(guarded, 2, length)
    assert here.tried == [(2, 5), (2, 4)]


def test_an_image_that_is_too_small_is_refused_although_it_fits(recorded):
    here = recorded(serving_default=signature(x=(-1, -1, -1, 3)))
    guarded = here.guarded(pools=True)
    run(guarded, 1, 9, 9, 3)
    here.failure = AbortError("SIGFPE")
    for _ in range(2):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: run(guarded, 1, 1, 1, 3))
        assert text == (
            "TensorFlow aborts (SIGFPE) on these inputs: x has shape [1,1,1,3] where the "
            "signature declares [-1,-1,-1,3]"
        )
    run(guarded, 1, 9, 9, 3)
    assert here.tried == [(1, 9, 9, 3), (1, 1, 1, 3)]
    assert here.here == [(1, 9, 9, 3)] * 2


def test_what_was_running_when_a_process_crashed_is_tried_by_those_after_it(recorded, tmp_path):
    here = recorded(serving_default=signature(x=(-1,)))
    here.guarded().run({"X:0": np.ones(7)}, ["y:0"])
    crashed = recorded(serving_default=signature(x=(-1,)))
    crashed.run = lambda *arguments: Suspects(tmp_path, 0).ended(-signal.SIGFPE)
    crashed.guarded().run({"X:0": np.ones(3)}, ["y:0"])
    after = recorded(serving_default=signature(x=(-1,)))
    guarded = after.guarded()
    for size in (7, 3, 3):
        guarded.run({"X:0": np.ones(size)}, ["y:0"])
    assert after.tried == [(3,)]


def test_what_erred_here_may_crash_another_time(recorded, tmp_path):
    """So it is marked each time it runs, not only the first time."""
    here = recorded(serving_default=signature(x=(-1,)))
    guarded = here.guarded()
    here.error = ServingError(grpc.StatusCode.INVALID_ARGUMENT, "a value is wrong")
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: run(guarded, 3))
    here.run = lambda *arguments: Suspects(tmp_path, 0).ended(-signal.SIGFPE)
    run(guarded, 3)
    after = recorded(serving_default=signature(x=(-1,)))
    run(after.guarded(), 3)
    assert after.tried == [(3,)]


def test_what_batches_never_take_is_not_tried(recorded):
    here = recorded(serving_default=signature(x=(-1,)))
    error = ServingError(grpc.StatusCode.INVALID_ARGUMENT, "at least one dimension")

    def check(feeds: Any) -> None:
        raise error

    guarded = here.guarded(check=check)
    for _ in range(2):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: run(guarded))
        assert text == "at least one dimension"
    assert (here.here, here.tried) == ([], [])


# From here on: with TensorFlow itself, and kernels that abort.

UNGUARDED = """
import sys
from pathlib import Path
import numpy as np
from serving.server.process import import_tensorflow

import_tensorflow()
print("keras" in sys.modules)
from serving.server.servables.session import Session

session = Session(Path(sys.argv[1]))
definition = session.signatures[sys.argv[2]]
(fed,), (fetched,) = definition.inputs.values(), definition.outputs.values()
for shape in ((1, 8, 8, 1), (8, 8, 1)):
    print(session.run({fed.name: np.ones(shape, np.float32)}, [fetched.name])[0].shape, flush=True)
"""


@pytest.fixture(scope="module")
def sandbox(zygote):
    sandbox = Sandbox(zygote)
    yield sandbox
    sandbox.close()


@pytest.fixture
def guarded(repository, sandbox, suspects):
    path = repository / "count" / "1"
    guarded = GuardedSession(Session(path), sandbox, path, suspects)
    yield guarded
    guarded.close()


def convolve(guarded: GuardedSession, *shape: int) -> tuple[int, ...]:
    definition = guarded.signatures["convolve"]
    (fed,), (fetched,) = definition.inputs.values(), definition.outputs.values()
    return guarded.run({fed.name: np.ones(shape, np.float32)}, [fetched.name], 60)[0].shape


def test_without_the_guard_a_shape_ends_the_process(repository, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    command = [sys.executable, "-c", UNGUARDED, str(repository / "count" / "1"), "convolve"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n(1, 8, 8, 4)\n"
    assert done.returncode == -6
    assert "Check failed" in done.stderr


def test_with_the_guard_that_shape_is_refused_and_others_are_answered(
    guarded, sandbox, monkeypatch
):
    sandbox.close()
    assert convolve(guarded, 1, 8, 8, 1) == (1, 8, 8, 4)
    assert sandbox.child is None
    for _ in range(2):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: convolve(guarded, 8, 8, 1))
        assert text == (
            "TensorFlow aborts (SIGABRT) on these inputs: images has shape [8,8,1] where the "
            "signature declares [-1,8,8,1]"
        )
        assert sandbox.child is None
    assert convolve(guarded, 0, 8, 8, 1)[0] == 0
    assert sandbox.child is None
    assert convolve(guarded, 1, 5, 9, 1) == (1, 5, 9, 4)
    monkeypatch.setattr(sandbox, "run", None)  # It is not asked again.
    assert convolve(guarded, 1, 5, 9, 1) == (1, 5, 9, 4)


def test_other_requests_are_answered_while_one_ends_the_sandbox(guarded):
    answered = 0
    aborted: list[str] = []
    fatal = threading.Thread(
        target=lambda: aborted.append(
            refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: convolve(guarded, 8, 8))
        )
    )
    fatal.start()
    while fatal.is_alive():
        assert convolve(guarded, 1, 8, 8, 1) == (1, 8, 8, 4)
        answered += 1
    assert answered > 1
    assert len(aborted) == 1


def test_a_small_image_for_a_network_of_free_size_ends_the_sandbox_only(
    sandbox, suspects, tmp_path
):
    def pooled(images):
        filtered = tf.nn.relu(tf.nn.conv2d(images, tf.ones([7, 7, 3, 4]), 2, "SAME"))
        return {"pooled": tf.nn.max_pool2d(filtered, 3, 2, "VALID")}

    path = saved_models.stateless(
        tmp_path / "1", saved_models.tensor(tf.float32, None, None, None, 3), serving_default=pooled
    )
    session = Session(path)
    guarded = GuardedSession(session, sandbox, path, suspects, pools=session.pools)
    definition = guarded.signatures["serving_default"]
    (fed,), (fetched,) = definition.inputs.values(), definition.outputs.values()

    def ask(size: int) -> tuple[int, ...]:
        images = np.ones((1, size, size, 3), np.float32)
        return guarded.run({fed.name: images}, [fetched.name], 60)[0].shape

    assert ask(20) == ask(20) == (1, 4, 4, 4)
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: ask(1))
    assert text.startswith("TensorFlow aborts (SIG")
    assert ask(30) == (1, 7, 7, 4)
    guarded.close()
