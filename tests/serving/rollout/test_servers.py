"""Reloads: what a server reports meanwhile, and what is left of an earlier attempt."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import grpc
import pytest

from serving.client.calls import VersionStatus
from serving.errors import ServingError
from serving.rollout import models_config, servers

CONFIG = models_config.parse("", "")
START, LOADING = VersionStatus(2, "START", ""), VersionStatus(2, "LOADING", "")
READY = VersionStatus(2, "AVAILABLE", "")
FAILED = VersionStatus(2, "END", "Op type not registered 'Foo'")
TRIES = VersionStatus(2, "LOADING", "Op type not registered 'Foo'")


class Server:
    """A client whose server answers a reload only when its status has been asked for often enough.

    Args:
        statuses: What it answers one after the other; the last one from then on.
        answer: What the reload fails with; None if it works.
    """

    def __init__(self, *statuses: VersionStatus, answer: ServingError | None = None) -> None:
        self._left = iter(statuses)
        self._last = VersionStatus(1, "AVAILABLE", "")
        self._answer = answer
        self._asked = threading.Event()

    def status(self, name: str, timeout: float) -> list[VersionStatus]:
        try:
            self._last = next(self._left)
        except StopIteration:
            self._asked.set()
        return [self._last]

    def reload(self, models: Sequence[object], timeout: float) -> None:
        assert self._asked.wait(10)
        if self._answer:
            raise self._answer


@pytest.fixture(autouse=True)
def short_pause(monkeypatch) -> None:
    monkeypatch.setattr(servers, "_PAUSE", 0.001)


LATE = ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


def notified(server: Server) -> None:
    servers.notify(server, CONFIG, "digits", {2}, 0.05)  # type: ignore[arg-type]


@pytest.mark.parametrize("states", [(START, LOADING, READY), (FAILED, START, LOADING, READY)])
def test_a_version_that_becomes_available_is_waited_for(states):
    notified(Server(*states))


@pytest.mark.parametrize(
    ("states", "answer"),
    [
        ((START, LOADING, TRIES), LATE),
        ((START, FAILED), None),
        ((FAILED, START, TRIES), LATE),
        ((FAILED, START, FAILED), None),
    ],
)
def test_a_version_that_cannot_be_loaded_is_named_with_the_reason(states, answer):
    with pytest.raises(ServingError) as raised:
        notified(Server(*states, answer=answer))
    assert raised.value.message == (
        "the server cannot load digits version 2: Op type not registered 'Foo'"
    )


@pytest.mark.parametrize(
    ("states", "now"),
    [((START, LOADING), "it is LOADING"), ((), "it is not known to the server")],
)
def test_a_reload_that_takes_too_long_names_the_version_and_its_state(states, now):
    with pytest.raises(ServingError) as raised:
        notified(Server(*states, answer=LATE))
    assert raised.value.message == (
        f"digits version 2 did not become AVAILABLE in 0.05 seconds: {now}"
    )


def test_another_refusal_is_the_server_s_own():
    refusal = ServingError(grpc.StatusCode.FAILED_PRECONDITION, "no such label")
    with pytest.raises(ServingError, match="no such label"):
        notified(Server(answer=refusal))
