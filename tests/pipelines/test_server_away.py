"""A tracking server that is away for a while: training goes on, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest

from pipelines import tracked_run, tracking
from pipelines.errors import UnsentError
from pipelines.training.checkpoints import Checkpoint, State
from tests.pipelines import samples
from tests.pipelines.tracking_server import Server

CONFIG = samples.config()
NAME = "image_classification"


@pytest.fixture
def server(
    workplace: Path,
    make_store: Callable[[Path, Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    # Artifacts go through the server, as to one on another machine.
    database = make_store(workplace / "server.db", Path("mlflow-artifacts:/"))
    server = Server(workplace, database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    server.start()
    yield server
    server.kill()


def checkpoint(epoch: int) -> Checkpoint:
    return Checkpoint(State(epoch=epoch), {"model": [np.zeros(3, np.float32)]})


def test_nothing_is_lost_while_the_server_is_away(server, workplace, monkeypatch):
    with tracking.run(NAME, CONFIG) as tracked:
        tracked.metrics({"val_loss": 3.0}, step=1)
        assert tracked.outbox.drain(60)
        server.kill()
        started = time.monotonic()
        for step in (2, 3):
            tracked.metrics({"val_loss": 4.0 - step}, step=step)
            tracked.samples(f"text of epoch {step}", step=step)
            tracked.checkpoints.write(checkpoint(step))
        assert time.monotonic() - started < 5, "training waits for the server"

        # It stays away for too long.
        with monkeypatch.context() as patched:
            patched.setattr(tracked_run, "_WAIT", 0.2)
            with pytest.raises(UnsentError) as raised:
                tracked.sent()
        assert str(workplace / "mlruns" / "unsent" / tracked.id) in str(raised.value)
        assert len(list((workplace / "mlruns" / "unsent" / tracked.id).glob("[0-9]*"))) == 4

        server.start()
        tracked.sent()
        # Another machine finds the checkpoint.
        tracked.checkpoints.finish(60)
        copies = mlflow.artifacts.list_artifacts(f"runs:/{tracked.id}/checkpoint") or ()
        assert [Path(copy.path).name for copy in copies] == ["000002_epoch_3_step_0.npz"]
        for file in tracked.checkpoints.folder.iterdir():
            file.unlink()
        found = tracked.checkpoints.newest()
        assert found is not None
        assert found.state.epoch == 3
    history = mlflow.MlflowClient().get_metric_history(tracked.id, "train/val_loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    for step in (2, 3):
        path = f"runs:/{tracked.id}/samples/epoch_{step:03d}.txt"
        assert mlflow.artifacts.load_text(path) == f"text of epoch {step}"
    assert mlflow.get_run(tracked.id).info.status == "FINISHED"
    assert not (workplace / "mlruns" / "unsent" / tracked.id).exists()
    assert not tracked.checkpoints.folder.exists()
    assert not mlflow.artifacts.list_artifacts(f"runs:/{tracked.id}/checkpoint")
