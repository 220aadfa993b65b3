"""Requests of undeclared shapes run in the sandbox, whatever it makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.errors import ServingError
from serving.server.servables.sandbox import AbortError
from serving.server.servables.tflite import TFLITE_FILE, TfLiteSession
from serving.server.servables.tflite_guard import GuardedTfLite
from tests.serving import tflite_models

FEED = "serving_default_x:0"


class Tried:
    """A sandbox in this process, which crashes where it is told to."""

    def __init__(self, crashes: str = "") -> None:
        self.paths: list[Path] = []
        self.forgotten: list[Path] = []
        self._crashes = crashes

    def run(self, path: Path, feeds: Any, fetches: Any, timeout: float | None) -> Any:
        self.paths.append(path)
        if self._crashes:
            raise AbortError(self._crashes)
        return TfLiteSession(path.parent).run(feeds, fetches, timeout)

    def forget(self, path: Path) -> None:
        self.forgotten.append(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tflite_models.half_plus_two(tmp_path_factory.mktemp("tflite") / "1")


def halved(guarded: GuardedTfLite, x: np.ndarray) -> np.ndarray:
    (output,) = guarded.signatures["serving_default"].outputs.values()
    return guarded.run({FEED: x}, [output.name])[0]


def guarded(folder: Path, sandbox: Tried) -> GuardedTfLite:
    session = TfLiteSession(folder)
    return GuardedTfLite(session, sandbox, folder / TFLITE_FILE)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(), (1, 3), (2, 1, 2), (1, 1, 1, 2), (2, 0), (0,)])
def test_an_input_of_another_rank_is_resized_in_the_sandbox(folder, shape):
    sandbox = Tried()
    model = guarded(folder, sandbox)
    for x in (np.full(shape, 3, np.float32), np.array([1, 2], np.float32)):
        np.testing.assert_array_equal(halved(model, x), 0.5 * x + 2)
    assert sandbox.paths == [folder / TFLITE_FILE]
    model.close()
    assert sandbox.forgotten == [folder / TFLITE_FILE]


@pytest.mark.parametrize(
    ("shape", "fits"),
    [((1, 3), True), ((7, 3), True), ((1, 4), False), ((0, 3), False), ((3,), False)],
)
def test_only_batches_of_the_declared_shape_run_in_the_server(tmp_path, shape, fits):
    path = tflite_models.product(tmp_path / "1")
    sandbox = Tried()
    model = guarded(path, sandbox)
    (output,) = model.signatures["serving_default"].outputs.values()
    x = np.ones(shape, np.float32)
    if shape[-1] == 3:
        assert model.run({FEED: x}, [output.name])[0].shape == (*(shape[:-1] or (1,)), 2)
    else:
        with pytest.raises(ServingError, match="Failed to allocate tensors"):
            model.run({FEED: x}, [output.name])
    assert sandbox.paths == ([] if fits else [path / TFLITE_FILE])


def test_a_tensor_that_the_model_lacks_is_named(folder):
    sandbox = Tried()
    with pytest.raises(ServingError, match="Unknown tensor 'nothing'"):
        guarded(folder, sandbox).run({"nothing": np.ones(1, np.float32)}, [])
    assert sandbox.paths == []


def test_what_ends_the_sandbox_is_refused_and_not_tried_again(folder):
    sandbox = Tried("SIGSEGV")
    model = guarded(folder, sandbox)
    for _ in range(3):
        with pytest.raises(ServingError) as raised:
            halved(model, np.ones((2, 2), np.float32))
        assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert raised.value.message == (
            "TensorFlow Lite aborts (SIGSEGV) on these inputs: "
            "serving_default_x:0 has shape [2,2] where the model declares [-1]"
        )
    assert len(sandbox.paths) == 1
    assert halved(model, np.ones(1, np.float32)).tolist() == [2.5]


def test_many_shapes_that_end_the_sandbox_take_bounded_memory(folder, monkeypatch):
    monkeypatch.setattr("serving.server.servables.tflite_guard._MAX_REMEMBERED", 2)
    sandbox = Tried("SIGABRT")
    model = guarded(folder, sandbox)
    for size in (1, 2, 3, 3, 1):
        with pytest.raises(ServingError, match="aborts"):
            halved(model, np.ones((size, 1), np.float32))
    assert len(sandbox.paths) == 4
