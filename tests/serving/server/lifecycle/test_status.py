"""GetModelStatus beyond the cases of the contract."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving.errors import ServingError
from serving.server.lifecycle.manager import Manager
from serving.server.lifecycle.status import status
from serving.server.lifecycle.version_policy import Model

Status = get_model_status_pb2.ModelVersionStatus


@pytest.fixture
def managed(tmp_path):
    """A manager whose versions above 1 cannot be loaded."""

    def load(path: Path):
        if path.name == "1":
            return SimpleNamespace(close=lambda: None)
        raise ServingError(grpc.StatusCode.DATA_LOSS, "it is damaged")

    (tmp_path / "1").mkdir()
    manager = Manager([Model("m", tmp_path)], load, poll_seconds=0.01, load_retries=0)
    manager.start()
    yield manager
    manager.stop()


def test_the_status_carries_states_and_errors_highest_version_first(managed, tmp_path):
    (tmp_path / "2").mkdir()
    deadline = time.monotonic() + 10
    while (response := status(managed, model_pb2.ModelSpec(name="m"))) and (
        [entry.state for entry in response.model_version_status] != [Status.END, Status.AVAILABLE]
    ):
        assert time.monotonic() < deadline, response
    failed, good = response.model_version_status
    assert (failed.version, good.version) == (2, 1)
    assert failed.status.error_code == grpc.StatusCode.DATA_LOSS.value[0]
    assert failed.status.error_message == "it is damaged"
    assert good.HasField("status")
    assert (good.status.error_code, good.status.error_message) == (0, "")

    spec = model_pb2.ModelSpec(name="m", version={"value": 2})
    assert status(managed, spec).model_version_status == [failed]


def test_a_label_in_a_status_request_is_ignored(managed):
    spec = model_pb2.ModelSpec(name="m", version_label="stable")
    assert [entry.version for entry in status(managed, spec).model_version_status] == [1]
