"""Which requests run at once, which are tried first, and what is remembered of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
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
from tests.serving import saved_models
from tests.serving.saved_models import floats

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

    def __init__(self, **signatures: meta_graph_pb2.SignatureDef) -> None:
        self.signatures = signatures
        self.here: list[tuple[int, ...]] = []
        self.tried: list[tuple[int, ...]] = []
        self.forgotten: list[Path] = []
        self.closed = False
        self.failure: Exception | None = None

    def guarded(self, **options: Any) -> GuardedSession:
        sandbox: Any = Recorded()
        sandbox.run, sandbox.forget = self._try, self.forgotten.append
        session: Any = self
        return GuardedSession(session, sandbox, PATH, **options)

    def run(self, feeds, fetches, timeout=None):
        self.here.append(next(iter(feeds.values())).shape)
        return [np.array(1)]

    def close(self) -> None:
        self.closed = True

    def _try(self, path, feeds, fetches, timeout=None):
        assert path == PATH
        self.tried.append(next(iter(feeds.values())).shape)
        if self.failure:
            raise self.failure
        return [np.array(1)]


def run(guarded: GuardedSession, *shape: int, fetches: tuple[str, ...] = ("y:0",)) -> None:
    guarded.run({"X:0": np.ones(shape, np.float32)}, fetches, 1.0)


def refused(code: grpc.StatusCode, function: Callable[[], object]) -> str:
    with pytest.raises(ServingError) as raised:
        function()
    assert raised.value.code is code
    return raised.value.message


def test_what_the_signature_declares_runs_at_once():
    recorded = Recorded(serving_default=signature(x=(-1, 8, 3)))
    guarded = recorded.guarded()
    for shape in ((1, 8, 3), (7, 8, 3)):
        run(guarded, *shape)
    assert recorded.here == [(1, 8, 3), (7, 8, 3)]
    assert recorded.tried == []


@pytest.mark.parametrize("shape", [(8, 3), (), (1, 1, 8, 3), (1, 8, 4), (1, 3, 8), (0, 8, 3)])
def test_any_other_rank_or_size_is_tried_first_and_known_from_then_on(shape):
    recorded = Recorded(serving_default=signature(x=(-1, 8, 3)))
    guarded = recorded.guarded()
    run(guarded, *shape)
    assert (recorded.here, recorded.tried) == ([], [shape])
    run(guarded, *shape)
    assert (recorded.here, recorded.tried) == ([shape], [shape])


def test_a_tensor_of_several_signatures_may_have_the_shape_of_any():
    recorded = Recorded(one=signature(x=(-1, 2)), other=signature(x=(3, -1)))
    guarded = recorded.guarded()
    for shape in ((5, 2), (3, 5), (3, 2)):
        run(guarded, *shape)
    assert recorded.tried == []
    run(guarded, 5, 5)
    assert recorded.tried == [(5, 5)]


def test_an_unknown_rank_declares_nothing():
    recorded = Recorded(serving_default=signature(x=None))
    run(recorded.guarded(), 3)
    assert recorded.tried == [(3,)]


@given(
    declared=st.lists(st.lists(st.integers(-1, 3), max_size=3), min_size=1, max_size=3),
    shape=st.lists(st.integers(0, 3), max_size=3),
)
def test_a_shape_fits_if_one_declared_shape_has_its_sizes(declared, shape):
    recorded = Recorded(**{f"s{i}": signature(x=tuple(s)) for i, s in enumerate(declared)})
    run(recorded.guarded(), *shape)
    fits = 0 not in shape and any(
        [size if wanted == -1 else wanted for size, wanted in zip(shape, sizes, strict=True)]
        == shape
        for sizes in declared
        if len(sizes) == len(shape)
    )
    assert recorded.here == ([tuple(shape)] if fits else [])
    assert recorded.tried == ([] if fits else [tuple(shape)])


def test_shapes_that_abort_are_refused_with_what_they_should_be_and_never_tried_again():
    recorded = Recorded(
        one=signature(x=(-1, 8, 3), fine=(-1,)), other=signature(x=(-1, 4), fine=(-1,))
    )
    guarded = recorded.guarded()
    recorded.failure = AbortError("SIGABRT")
    for _ in range(3):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: run(guarded, 8, 3, 1))
        assert text == (
            "TensorFlow aborts (SIGABRT) on these inputs: x has shape [8,3,1] where the signature "
            "declares [-1,8,3] or [-1,4]"
        )
    assert (recorded.here, recorded.tried) == ([], [(8, 3, 1)])


def test_the_refusal_names_all_inputs_that_are_unlike_and_no_others():
    recorded = Recorded(serving_default=signature(a=(-1,), b=(2,), c=None))
    recorded.failure = AbortError("SIGSEGV")
    feeds = {"A:0": floats(1), "B:0": floats(), "C:0": np.array(1, np.float32)}
    text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: recorded.guarded().run(feeds, ["y:0"]))
    assert text == (
        "TensorFlow aborts (SIGSEGV) on these inputs: b has shape [0] where the signature declares "
        "[2]; c has shape [] where the signature declares none"
    )


def test_what_errs_is_tried_each_time():
    """An op may have failed before a worse one was reached."""
    recorded = Recorded(serving_default=signature(x=(-1,)))
    guarded = recorded.guarded()
    recorded.failure = ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Incompatible shapes")
    for _ in range(2):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: run(guarded, 1, 1))
        assert text == "Incompatible shapes"
    assert (recorded.here, recorded.tried) == ([], [(1, 1)] * 2)


def test_outputs_and_dtypes_make_another_kind_of_request():
    recorded = Recorded(serving_default=signature(x=(-1,)))
    guarded = recorded.guarded()
    run(guarded, 1, 1)
    run(guarded, 1, 1, fetches=("z:0",))
    guarded.run({"X:0": np.ones((1, 1))}, ["y:0"])
    assert len(recorded.tried) == 3
    assert recorded.here == []


def test_the_kind_that_was_used_longest_ago_is_forgotten_first():
    recorded = Recorded(serving_default=signature(x=(-1,)))
    guarded = recorded.guarded(remembered=2)
    for size in (1, 2, 1, 3, 1, 2):
        run(guarded, 1, size)
    assert recorded.tried == [(1, 1), (1, 2), (1, 3), (1, 2)]


def test_beside_a_gpu_a_good_answer_of_the_sandbox_proves_nothing():
    recorded = Recorded(serving_default=signature(x=(-1,)))
    recorded.on_gpu = True
    guarded = recorded.guarded()
    for _ in range(2):
        run(guarded, 1, 1)
    assert (recorded.here, recorded.tried) == ([], [(1, 1)] * 2)


def test_closing_frees_the_model_here_and_in_the_sandbox():
    recorded = Recorded(serving_default=signature(x=(-1,)))
    recorded.guarded().close()
    assert recorded.closed
    assert recorded.forgotten == [PATH]


def test_images_of_free_size_are_tried_until_as_small_a_one_went_well():
    recorded = Recorded(serving_default=signature(x=(-1, -1, -1, 3)))
    guarded = recorded.guarded()
    sent = [(1, 9, 9, 3), (4, 9, 30, 3), (1, 5, 50, 3), (1, 5, 10, 3), (1, 7, 10, 3), (1, 6, 9, 3)]
    for shape in sent:
        run(guarded, *shape)
    assert recorded.tried == [(1, 9, 9, 3), (1, 5, 50, 3), (1, 5, 10, 3), (1, 6, 9, 3)]
    assert recorded.here == [(4, 9, 30, 3), (1, 7, 10, 3)]


def test_an_image_that_is_too_small_is_refused_although_it_fits():
    recorded = Recorded(serving_default=signature(x=(-1, -1, -1, 3)))
    guarded = recorded.guarded()
    run(guarded, 1, 9, 9, 3)
    recorded.failure = AbortError("SIGFPE")
    for _ in range(2):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: run(guarded, 1, 1, 1, 3))
        assert text == (
            "TensorFlow aborts (SIGFPE) on these inputs: x has shape [1,1,1,3] where the "
            "signature declares [-1,-1,-1,3]"
        )
    run(guarded, 1, 9, 9, 3)
    assert recorded.tried == [(1, 9, 9, 3), (1, 1, 1, 3)]
    assert recorded.here == [(1, 9, 9, 3)]


def test_sequences_of_free_length_run_at_once():
    recorded = Recorded(serving_default=signature(x=(-1, -1)))
    run(recorded.guarded(), 1, 1)
    assert recorded.tried == []


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
def sandbox():
    """One for all tests, as a process takes seconds to start."""
    sandbox = Sandbox()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
        yield sandbox
    sandbox.close()


@pytest.fixture
def guarded(repository, sandbox):
    path = repository / "count" / "1"
    guarded = GuardedSession(Session(path), sandbox, path)
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
    assert sandbox.process is None
    for _ in range(2):
        text = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: convolve(guarded, 8, 8, 1))
        assert text == (
            "TensorFlow aborts (SIGABRT) on these inputs: images has shape [8,8,1] where the "
            "signature declares [-1,8,8,1]"
        )
        assert sandbox.process is None
    assert convolve(guarded, 0, 8, 8, 1)[0] == 0
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


def test_a_small_image_for_a_network_of_free_size_ends_the_sandbox_only(sandbox, tmp_path):
    def pooled(images):
        filtered = tf.nn.relu(tf.nn.conv2d(images, tf.ones([7, 7, 3, 4]), 2, "SAME"))
        return {"pooled": tf.nn.max_pool2d(filtered, 3, 2, "VALID")}

    path = saved_models.stateless(
        tmp_path / "1", saved_models.tensor(tf.float32, None, None, None, 3), serving_default=pooled
    )
    guarded = GuardedSession(Session(path), sandbox, path)
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
