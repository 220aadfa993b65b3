"""TF_CONFIG: the workers that it names, and one sentence for each mistake."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.training import cluster
from pipelines.training.cluster import Cluster

WORKERS = ["one:2222", "two:2222", "three:2222"]


def configure(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    monkeypatch.setenv(cluster.VARIABLE, text)


def config(workers: Any = WORKERS, kind: Any = "worker", index: Any = 1) -> dict[str, Any]:
    return {"cluster": {"worker": workers}, "task": {"type": kind, "index": index}}


@pytest.mark.parametrize("text", ["", " ", "{}"])
def test_without_workers_this_process_is_alone_and_the_chief(monkeypatch, text):
    configure(monkeypatch, text)
    assert len(cluster.cluster().workers) == 1
    assert cluster.cluster().is_chief


def test_workers_and_the_own_place_are_read(monkeypatch):
    configure(monkeypatch, config())
    found = cluster.cluster()
    assert found == Cluster(tuple(WORKERS), 1)
    assert not found.is_chief
    assert str(found) == "worker 1 of 3"


def test_a_chief_comes_before_the_workers(monkeypatch):
    jobs = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    for kind, index, place in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        configure(monkeypatch, {"cluster": jobs, "task": {"type": kind, "index": index}})
        assert cluster.cluster() == Cluster(("a:1", "b:1", "c:1"), place)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{'cluster'", "must be JSON"),
        ("[1]", "must be {"),
        ({"cluster": [1]}, "must be {"),
        (config(index=3), 'not {"type": "worker", "index": 3}'),
        (config(index="1"), "must be one of its cluster"),
        (config(index=True), "must be one of its cluster"),
        (config(kind="chief", index=0), "worker 0, worker 1, worker 2"),
        ({"cluster": {"worker": WORKERS}}, "not {}"),
        (config(workers=["one", "two:1"]), "HOST:PORT"),
        (config(workers=["one:70000", "two:1"]), "HOST:PORT"),
        (config(workers="one:1"), "HOST:PORT"),
        (config(workers=["one:1", "one:1"]), "one:1 twice"),
        ({"cluster": {"ps": ["a:1"], "worker": WORKERS}}, "'ps'"),
    ],
)
def test_each_mistake_is_one_sentence(monkeypatch, value, message):
    configure(monkeypatch, value)
    with pytest.raises(UserError) as raised:
        cluster.cluster()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_taken_address_is_named():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        address = f"localhost:{other.getsockname()[1]}"
        with pytest.raises(UserError, match=f"worker 0 of 2 the address {address}.*in use"):
            cluster.check_address(Cluster((address, "two:2222")))


def test_a_free_address_is_none():
    with socket.socket() as other:
        other.bind(("", 0))
        port = other.getsockname()[1]
    cluster.check_address(Cluster((f"localhost:{port}", "two:2222")))


@pytest.mark.parametrize(
    ("strategy", "devices", "workers"),
    [("auto", 0, 3), ("multi_worker", 0, 3), ("one", 0, 1), ("mirrored", 2, 1)],
)
def test_the_choice_decides_whether_the_workers_train_together(
    monkeypatch, strategy, devices, workers
):
    configure(monkeypatch, config())
    assert len(cluster.workers_of(strategy, devices).workers) == workers


@pytest.mark.parametrize(
    ("value", "strategy", "devices", "message"),
    [
        ("", "multi_worker", 0, "needs TF_CONFIG to name several workers"),
        (config(workers=["one:1"], index=0), "multi_worker", 0, "several workers"),
        ("", "one", 2, "--devices is 2"),
        (config(), "auto", 2, "--devices does not go with several workers"),
    ],
)
def test_a_choice_that_does_not_fit_is_one_sentence(monkeypatch, value, strategy, devices, message):
    configure(monkeypatch, value)
    with pytest.raises(UserError, match=message):
        cluster.workers_of(strategy, devices)
