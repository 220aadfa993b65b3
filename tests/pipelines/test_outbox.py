"""The outbox: nothing is lost while a server is away, and nothing waits for it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests

from pipelines import outbox
from pipelines.outbox import Outbox
from pipelines.store_errors import is_temporary


class Server:
    """What takes the place of a tracking server: it is there, away, or refuses."""

    def __init__(self) -> None:
        self.away = False
        self.refuses = ""
        self.got: list[Any] = []

    def ask(self) -> None:
        if self.away:
            raise mlflow.MlflowException("API request failed: connection refused")
        if self.refuses:
            error = mlflow.MlflowException(self.refuses, error_code=1000)
            self.refuses = ""
            raise error

    def log_batch(self, run_id, *, metrics, params, tags) -> None:
        self.ask()
        self.got += [(each.key, each.value, each.step) for each in metrics]
        self.got += [(each.key, each.value) for each in [*params, *tags]]

    def log_artifacts(self, run_id: str, folder: str, path: str | None) -> None:
        self.ask()
        for file in sorted(Path(folder).rglob("*")):
            self.got.append((path, file.name, file.read_text()))


@pytest.fixture
def server(monkeypatch) -> Server:
    server = Server()
    monkeypatch.setattr(mlflow, "MlflowClient", lambda: server)
    monkeypatch.setattr(outbox, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(outbox, "_LONGEST_PAUSE", 0.02)
    return server


def fill(box: Outbox) -> list[Any]:
    """Logs one thing of each kind; returns what the server should get."""
    box.log(metrics={"loss": 0.5}, step=3)
    box.log(params={"epochs": 2}, tags={"baseline": "none"})
    box.files(lambda folder: (folder / "a.txt").write_text("text"), "notes")
    return [
        ("loss", 0.5, 3),
        ("epochs", "2"),
        ("baseline", "none"),
        ("notes", "a.txt", "text"),
    ]


def test_a_store_on_this_machine_gets_everything_at_once(server):
    assert server.got == []
    box = Outbox("run")
    expected = fill(box)
    assert server.got == expected
    assert box.drain(0)


def test_everything_arrives_in_order(server, tmp_path):
    box = Outbox("run", tmp_path / "unsent" / "run")
    expected = [each for _ in range(20) for each in fill(box)]
    assert box.drain(10)
    box.close()
    assert server.got == expected
    assert not (tmp_path / "unsent" / "run").exists()


def test_while_the_server_is_away_nothing_waits_and_afterwards_everything_is_sent(server, tmp_path):
    server.away = True
    box = Outbox("run", tmp_path / "run")
    started = time.monotonic()
    expected = [each for _ in range(10) for each in fill(box)]
    assert time.monotonic() - started < 2
    assert not box.drain(0.1)
    assert server.got == []
    server.away = False
    assert box.drain(10)
    assert server.got == expected
    box.close()


def test_what_a_killed_process_could_not_send_is_sent_by_the_next_one_first(server, tmp_path):
    server.away = True
    box = Outbox("run", tmp_path / "run")
    expected = fill(box)
    box.close()
    (tmp_path / "run" / ".00000099.partial").mkdir()
    assert len(list((tmp_path / "run").glob("[0-9]*"))) == 3
    server.away = False
    again = Outbox("run", tmp_path / "run")
    again.log(metrics={"loss": 0.25}, step=4)
    assert again.drain(10)
    assert server.got == [*expected, ("loss", 0.25, 4)]
    again.close()


def test_what_the_server_refuses_is_raised_where_the_run_logs(server, tmp_path):
    server.refuses = "no such parameter"
    box = Outbox("run", tmp_path / "run")
    box.log(params={"epochs": 2})
    with pytest.raises(mlflow.MlflowException, match="no such parameter"):
        box.drain(10)
    box.log(params={"epochs": 3})
    assert box.drain(10)
    assert server.got == [("epochs", "3")]
    box.close()


def test_metrics_keep_the_time_at_which_they_were_logged(server, tmp_path):
    server.away = True
    box = Outbox("run", tmp_path / "run")
    before = time.time() * 1000
    box.log(metrics={"loss": float("nan")}, step=1)
    (entry,) = (tmp_path / "run").glob("[0-9]*")
    ((key, value, when, step),) = json.loads((entry / "operation.json").read_text())["metrics"]
    assert (key, step) == ("loss", 1)
    assert value != value
    assert before - 1 <= when <= time.time() * 1000
    box.close()


def response(status: int) -> requests.HTTPError:
    answer = requests.Response()
    answer.status_code = status
    return requests.HTTPError(response=answer)


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (requests.ConnectionError(), True),
        (requests.Timeout(), True),
        (response(503), True),
        (response(429), True),
        (response(404), False),
        (mlflow.MlflowException("no answer"), True),
        (mlflow.MlflowException("wrong", error_code=1000), False),
        (ValueError(), False),
    ],
)
def test_only_errors_that_may_pass_are_waited_for(error, temporary):
    assert is_temporary(error) == temporary
