"""The model manager over real folders, with sessions that only know whether they are closed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.errors import ServingError
from serving.server.lifecycle import manager as module
from serving.server.lifecycle.manager import Manager
from serving.server.lifecycle.version_policy import Model, Policy
from tests.serving.waiting import eventually


class Session:
    def __init__(self, version: str) -> None:
        self.version = version
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Loader:
    """Loads what is no failure, counts, and waits where it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.sessions: list[Session] = []
        self.failures: dict[str, list[Exception]] = {}
        self.gates: dict[str, threading.Event] = {}
        self.under_way = 0
        self.most_under_way = 0

    def __call__(self, path: Path) -> Any:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            self.calls.append((path.name, time.monotonic()))
            if path.name in self.gates:
                assert self.gates[path.name].wait(10)
            if self.failures.get(path.name):
                raise self.failures[path.name].pop(0)
            self.sessions.append(Session(path.name))
            return self.sessions[-1]
        finally:
            self.under_way -= 1

    def fail(self, version: str, times: int = 1, error: Exception | None = None) -> None:
        self.failures[version] = [error or damaged(version)] * times

    def count(self, version: str) -> int:
        return [name for name, _ in self.calls].count(version)

    def closed(self) -> list[str]:
        return [session.version for session in self.sessions if session.closed]


def damaged(version: str) -> ServingError:
    return ServingError(grpc.StatusCode.DATA_LOSS, f"version {version} is damaged")


polls: list[float] = []


def several_polls() -> None:
    """Waits until the base paths have been looked at a few times more."""
    before = len(polls)
    eventually(lambda: len(polls) > before + 2)


@pytest.fixture(autouse=True)
def _fast_and_counted(monkeypatch):
    poll = Manager._poll

    def counted(manager: Manager) -> None:
        poll(manager)
        polls.append(time.monotonic())

    monkeypatch.setattr(Manager, "_poll", counted)
    monkeypatch.setattr(module, "_TICK_SECONDS", 0.01)


@pytest.fixture
def base(tmp_path) -> Path:
    return tmp_path / "m"


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def made(loader, base) -> Iterator[Callable[..., Manager]]:
    """Makes managers, of one model in `base` unless said otherwise, and stops them in the end."""
    managers = []

    def make(*models: Model, **options) -> Manager:
        options = {"poll_seconds": 0.02, "load_retries": 0, "retry_seconds": 0.0} | options
        managers.append(Manager(models or [Model("m", base)], loader, **options))
        return managers[-1]

    yield make
    for gate in loader.gates.values():
        gate.set()
    for manager in managers:
        manager.stop()


@pytest.fixture
def started(made) -> Callable[..., Manager]:
    def start(*models: Model, **options) -> Manager:
        manager = made(*models, **options)
        manager.start()
        return manager

    return start


def publish(base: Path, *versions: int | str) -> None:
    for version in versions:
        (base / str(version)).mkdir(parents=True)


def served(manager: Manager, number: int | str | None = None, name: str = "m") -> int | str:
    """Returns the version that answers a request, or the refusal."""
    try:
        with manager.acquire(name, number) as (version, _):
            return version
    except ServingError as error:
        return str(error)


def publish_and_wait(manager: Manager, base: Path, version: int) -> None:
    publish(base, version)
    eventually(lambda: served(manager) == version)


def states(manager: Manager, name: str = "m") -> dict[int, str]:
    try:
        return {version.number: version.state.name for version in manager.status(name)}
    except ServingError:
        return {}


NOT_SERVED = "NOT_FOUND: Servable not found for request: Latest(m)"


def test_the_newest_version_is_served_and_no_other(started, base, loader):
    publish(base, 1, 10, 9, ".11.partial", "latest")
    manager = started()
    assert served(manager) == 10
    assert served(manager, 10) == 10
    assert states(manager) == {10: "AVAILABLE"}
    assert [name for name, _ in loader.calls] == ["10"]


def test_the_session_is_the_one_of_the_version(started, base):
    publish(base, "007")
    with started().acquire("m") as (version, session):
        assert (version, session.version) == (7, "007")


@pytest.mark.parametrize(
    ("name", "number", "request_"),
    [
        ("m", 2, "Specific(m, 2)"),
        ("m", 0, "Specific(m, 0)"),
        ("n", None, "Latest(n)"),
        ("n", 1, "Specific(n, 1)"),
        ("", None, "Latest()"),
    ],
)
def test_what_is_not_served_is_not_found(started, base, name, number, request_):
    publish(base, 1)
    refusal = f"NOT_FOUND: Servable not found for request: {request_}"
    assert served(started(), number, name) == refusal


def test_the_old_version_serves_until_the_new_one_is_ready(started, base, loader):
    publish(base, 1)
    manager = started()
    gate = loader.gates["2"] = threading.Event()
    publish(base, 2)
    eventually(lambda: states(manager) == {2: "LOADING", 1: "AVAILABLE"})
    assert served(manager) == 1
    assert served(manager, 2) == "NOT_FOUND: Servable not found for request: Specific(m, 2)"
    gate.set()
    eventually(lambda: served(manager) == 2)
    eventually(lambda: states(manager) == {2: "AVAILABLE", 1: "END"})
    assert loader.closed() == ["1"]


def test_the_highest_version_comes_first_in_the_status(started, base):
    publish(base, 1)
    manager = started()
    for version in (2, 10):
        publish_and_wait(manager, base, version)
    eventually(lambda: list(states(manager).items()) == [(10, "AVAILABLE"), (2, "END"), (1, "END")])
    assert [v.number for v in manager.status("m", 2)] == [2]
    assert all(v.error is None for v in manager.status("m"))


def test_an_old_version_is_closed_only_when_its_requests_have_ended(started, base, loader):
    publish(base, 1)
    manager = started()
    with manager.acquire("m") as (version, session):
        assert version == 1
        publish(base, 2)
        eventually(lambda: states(manager) == {2: "AVAILABLE", 1: "UNLOADING"})
        several_polls()
        assert states(manager)[1] == "UNLOADING"
        assert not session.closed
        assert served(manager, 1) == "NOT_FOUND: Servable not found for request: Specific(m, 1)"
    eventually(lambda: states(manager)[1] == "END")
    assert session.closed


def test_a_request_that_fails_lets_go_of_its_version(started, base, loader):
    publish(base, 1)
    manager = started()

    def fail():
        with manager.acquire("m"):
            raise KeyError("the request's own")

    with pytest.raises(KeyError, match="own"):
        fail()
    publish(base, 2)
    eventually(lambda: loader.closed() == ["1"])


def test_the_old_version_stays_when_the_new_one_fails_and_the_status_says_why(
    started, base, loader
):
    publish(base, 1)
    manager = started()
    loader.fail("2")
    publish(base, 2)
    eventually(lambda: states(manager) == {2: "END", 1: "AVAILABLE"})
    several_polls()
    assert served(manager) == 1
    [failed] = manager.status("m", 2)
    assert str(failed.error) == "DATA_LOSS: version 2 is damaged"
    assert manager.status("m", 1)[0].error is None
    assert loader.count("2") == 1


def test_any_exception_of_a_load_is_an_internal_error(started, base, loader):
    publish(base, 1)
    manager = started()
    loader.fail("2", error=ZeroDivisionError("division by zero"))
    publish(base, 2)
    eventually(lambda: states(manager).get(2) == "END")
    assert str(manager.status("m", 2)[0].error) == "INTERNAL: division by zero"
    publish(base, 3)
    eventually(lambda: served(manager) == 3)


def test_a_failed_load_is_tried_again_after_a_pause(started, base, loader):
    publish(base, 1)
    loader.fail("1", times=2)
    manager = started(load_retries=2, retry_seconds=0.1)
    assert served(manager) == 1
    assert manager.status("m")[0].error is None
    times = [when for _, when in loader.calls]
    assert len(times) == 3
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(times))


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (2, 3), (-1, 1)])
def test_a_load_that_keeps_failing_is_given_up(made, base, loader, retries, attempts):
    publish(base, 1)
    loader.fail("1", times=9)
    manager = made(load_retries=retries)
    with pytest.raises(ServingError):
        manager.start()
    several_polls()
    assert loader.count("1") == attempts
    assert states(manager) == {1: "END"}


def test_a_newer_version_ends_the_retries_of_a_failed_one(started, base, loader):
    publish(base, 1)
    manager = started(load_retries=5, retry_seconds=60)
    loader.fail("2", times=9)
    publish(base, 2)
    eventually(lambda: loader.count("2") == 1 and states(manager)[2] == "START")
    publish(base, 3)
    eventually(lambda: served(manager) == 3)
    eventually(lambda: states(manager) == {3: "AVAILABLE", 2: "END", 1: "END"})
    assert str(manager.status("m", 2)[0].error) == "DATA_LOSS: version 2 is damaged"


def test_a_vanished_base_path_leaves_everything_as_it_is_until_it_returns(
    started, base, loader, caplog
):
    publish(base, 1)
    manager = started()
    base.rename(base.with_name("elsewhere"))
    eventually(lambda: "Could not find base path" in caplog.text)
    several_polls()
    assert served(manager) == 1
    assert states(manager) == {1: "AVAILABLE"}
    base.with_name("elsewhere").rename(base)
    publish(base, 2)
    eventually(lambda: served(manager) == 2)
    assert loader.count("1") == 1


def test_no_model_changes_in_a_poll_that_cannot_read_one_base_path(started, tmp_path):
    publish(tmp_path / "a", 1)
    publish(tmp_path / "b", 1)
    manager = started(Model("a", tmp_path / "a"), Model("b", tmp_path / "b"))
    (tmp_path / "b").rename(tmp_path / "elsewhere")
    several_polls()
    publish(tmp_path / "a", 2)
    several_polls()
    assert (served(manager, name="a"), served(manager, name="b")) == (1, 1)
    (tmp_path / "elsewhere").rename(tmp_path / "b")
    eventually(lambda: served(manager, name="a") == 2)


def test_an_empty_base_path_unloads_everything(started, base, loader, caplog):
    publish(base, 1)
    manager = started()
    (base / "1").rmdir()
    eventually(lambda: states(manager) == {1: "END"})
    assert served(manager) == NOT_SERVED
    assert loader.closed() == ["1"]
    assert f"No versions of servable m found under base path {base}." in caplog.text
    publish(base, 1)
    eventually(lambda: served(manager) == 1)
    assert loader.closed() == ["1"]


def test_a_failed_version_is_tried_again_when_it_was_gone(started, base, loader):
    publish(base, 1)
    manager = started()
    loader.fail("2")
    publish(base, 2)
    eventually(lambda: states(manager) == {2: "END", 1: "AVAILABLE"})
    several_polls()
    assert loader.count("2") == 1
    (base / "2").rmdir()
    several_polls()
    publish(base, 2)
    eventually(lambda: served(manager) == 2)
    assert manager.status("m", 2)[0].error is None


def test_removing_the_newest_version_goes_back_to_the_one_before(started, base, loader):
    publish(base, 1, 2)
    manager = started()
    (base / "2").rmdir()
    eventually(lambda: states(manager) == {2: "END", 1: "AVAILABLE"})
    assert served(manager) == 1
    assert loader.closed() == ["2"]


def test_a_version_that_is_wanted_again_while_it_unloads_comes_back(started, base, loader):
    publish(base, 1)
    manager = started()
    with manager.acquire("m"):
        publish(base, 2)
        eventually(lambda: states(manager) == {2: "AVAILABLE", 1: "UNLOADING"})
        (base / "2").rmdir()
        several_polls()
        assert served(manager) == 2
    eventually(lambda: states(manager) == {2: "END", 1: "AVAILABLE"})
    assert served(manager) == 1
    assert loader.count("1") == 2


def test_starting_fails_when_the_newest_version_does(made, base, loader):
    publish(base, 1, 2)
    loader.fail("2")
    with pytest.raises(ServingError) as raised:
        made().start()
    assert str(raised.value) == (
        "UNKNOWN: 1 servable(s) did not become available: {{{name: m version: 2} due to error: "
        "DATA_LOSS: version 2 is damaged}, }"
    )
    assert loader.count("1") == 0


def test_starting_names_each_model_that_failed(made, tmp_path, loader):
    publish(tmp_path / "a", 1)
    publish(tmp_path / "b", 2)
    publish(tmp_path / "c", 3)
    loader.fail("1")
    loader.fail("3")
    manager = made(*(Model(name, tmp_path / name) for name in "abc"))
    with pytest.raises(ServingError) as raised:
        manager.start()
    assert raised.value.message == (
        "2 servable(s) did not become available: {{{name: a version: 1} due to error: DATA_LOSS: "
        "version 1 is damaged}, {{name: c version: 3} due to error: DATA_LOSS: version 3 is "
        "damaged}, }"
    )


def in_background(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_starting_waits_for_a_first_version(made, base, caplog):
    base.mkdir()
    manager = made()
    starting = in_background(manager.start)
    eventually(lambda: "Did you forget to name your leaf directory" in caplog.text)
    assert starting.is_alive()
    assert states(manager) == {}
    publish(base, 1)
    starting.join(10)
    assert not starting.is_alive()
    assert served(manager) == 1


def test_starting_waits_for_every_model(made, tmp_path, loader):
    publish(tmp_path / "a", 1)
    (tmp_path / "b").mkdir()
    manager = made(Model("a", tmp_path / "a"), Model("b", tmp_path / "b"))
    starting = in_background(manager.start)
    eventually(lambda: served(manager, name="a") == 1)
    several_polls()
    assert starting.is_alive()
    publish(tmp_path / "b", 1)
    starting.join(10)
    assert not starting.is_alive()


def test_stopping_ends_the_wait_for_a_first_version(made, base):
    base.mkdir()
    manager = made()
    starting = in_background(manager.start)
    several_polls()
    manager.stop()
    starting.join(10)
    assert not starting.is_alive()


def test_stopping_closes_every_session_also_one_that_just_loads(started, base, loader):
    before = set(threading.enumerate())
    publish(base, 1)
    manager = started()
    gate = loader.gates["2"] = threading.Event()
    publish(base, 2)
    eventually(lambda: loader.count("2") == 1)
    stopping = in_background(manager.stop)
    time.sleep(0.1)
    assert stopping.is_alive()
    gate.set()
    stopping.join(10)
    assert not stopping.is_alive()
    assert sorted(loader.closed()) == ["1", "2"]
    eventually(lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize("what", ["load", "close", "poll"])
def test_stopping_ends_in_time_whatever_hangs(started, base, loader, what, monkeypatch, caplog):
    publish(base, 1)
    manager = started()
    gate = threading.Event()
    if what == "load":
        loader.gates["2"] = gate
        publish(base, 2)
        eventually(lambda: loader.count("2") == 1)
    elif what == "close":
        monkeypatch.setattr(loader.sessions[0], "close", lambda: gate.wait(10))
    else:
        hangs = threading.Event()

        def poll() -> None:
            hangs.set()
            gate.wait(10)

        monkeypatch.setattr(manager, "_poll", poll)
        assert hangs.wait(10)
    stopping = in_background(lambda: manager.stop(0.2))
    stopping.join(5)
    assert not stopping.is_alive()
    assert caplog.messages[-1].startswith("Some models could not be unloaded in time")
    assert loader.closed() == ([] if what == "close" else ["1"])
    gate.set()
    if what == "load":
        eventually(lambda: loader.closed() == ["1", "2"])


def test_stopping_does_not_wait_for_loads_that_have_not_begun(made, tmp_path, loader):
    models = [Model(name, tmp_path / name) for name in "ab"]
    for number, model in enumerate(models):
        publish(model.base_path, number)
        loader.gates[str(number)] = threading.Event()
    manager = made(*models, load_threads=1)
    starting = in_background(manager.start)
    eventually(lambda: states(manager, "a") == {0: "LOADING"} and len(loader.calls) == 1)
    eventually(lambda: states(manager, "b") == {1: "LOADING"})
    stopping = in_background(manager.stop)
    eventually(lambda: manager._loaders._shutdown)
    loader.gates["0"].set()
    stopping.join(10)
    assert not stopping.is_alive()
    starting.join(10)
    assert [version for version, _ in loader.calls] == ["0"]


def test_a_session_that_cannot_be_closed_holds_up_nothing(started, base, loader, caplog):
    def fail():
        raise RuntimeError("cannot close")

    publish(base, 1)
    manager = started()
    loader.sessions[0].close = fail
    publish(base, 2)
    eventually(lambda: states(manager) == {2: "AVAILABLE", 1: "END"})
    assert "cannot close" in caplog.text
    publish(base, 3)
    eventually(lambda: served(manager) == 3)
    eventually(lambda: loader.closed() == ["2"])


def test_a_poll_time_of_0_looks_once(started, base):
    publish(base, 1)
    manager = started(poll_seconds=0)
    publish(base, 2)
    time.sleep(0.1)
    assert served(manager) == 1
    assert states(manager) == {1: "AVAILABLE"}


def test_one_version_loads_at_a_time(started, tmp_path, loader):
    names = "abcd"
    for name in names:
        publish(tmp_path / name, 1)
    manager = started(*(Model(name, tmp_path / name) for name in names))
    assert [served(manager, name=name) for name in names] == [1] * 4
    assert loader.most_under_way == 1


def test_the_status_of_what_was_never_known_is_not_found(started, base):
    publish(base, 1)
    manager = started()
    for name, number, text in [
        ("n", None, "Could not find any versions of model n"),
        ("n", 1, "Could not find version 1 of model n"),
        ("m", 2, "Could not find version 2 of model m"),
    ]:
        with pytest.raises(ServingError) as raised:
            manager.status(name, number)
        assert (raised.value.code, raised.value.message) == (grpc.StatusCode.NOT_FOUND, text)


def test_no_request_ever_holds_a_closed_session(started, base, caplog):
    """Versions come, go and come back while threads take sessions without a pause."""
    caplog.set_level(logging.ERROR)
    publish(base, 1)
    manager = started()
    ended = threading.Event()
    problems: list[str] = []

    def ask():
        while not ended.is_set():
            try:
                with manager.acquire("m") as (version, session):
                    if session.closed or int(session.version) != version:
                        problems.append(f"{version} got {session.version}, {session.closed}")
                    time.sleep(0.0005)
                    if session.closed:
                        problems.append(f"version {version} was closed in use")
            except ServingError as error:
                problems.append(str(error))

    threads = [in_background(ask) for _ in range(4)]
    for newest in (2, 3, 4):
        publish_and_wait(manager, base, newest)
        (base / str(newest)).rmdir()
        eventually(lambda: served(manager) == 1)
    ended.set()
    for thread in threads:
        thread.join(10)
    assert problems == []


def specific(base: Path, *numbers: int, **labels: int) -> Model:
    return Model("m", base, Policy("specific", versions=frozenset(numbers)), labels)


def refusal(function: Callable[..., object], *arguments, **options) -> str:
    with pytest.raises(ServingError) as raised:
        function(*arguments, **options)
    return str(raised.value)


def unavailable(version: int) -> str:
    return (
        f"FAILED_PRECONDITION: Request to assign label to version {version} of model m, which is "
        "not currently available for inference"
    )


def test_all_versions_of_a_policy_are_served_and_the_highest_answers(started, base):
    publish(base, 1, 2, 3)
    manager = started(Model("m", base, Policy("all")))
    assert [served(manager, number) for number in (1, 2, 3, None)] == [1, 2, 3, 3]


def test_a_policy_of_named_versions_serves_those_that_are_there(started, base, caplog):
    publish(base, 1, 2, 3)
    manager = started(specific(base, 1, 2, 9))
    assert states(manager) == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert f"Version 9 of servable m, which its policy names, is not in {base}" in caplog.text


def test_a_label_moves_in_two_steps(started, base):
    """The new version is loaded under its number, and only then takes the label."""
    publish(base, 1, 2)
    manager = started(specific(base, 1))
    manager.reload([specific(base, 1, stable=1)])
    assert served(manager, "stable") == 1
    assert refusal(manager.reload, [specific(base, 2, stable=2)]) == unavailable(2)
    assert served(manager, "stable") == 1
    manager.reload([specific(base, 1, 2, stable=1)])
    eventually(lambda: served(manager, 2) == 2)
    assert served(manager, "stable") == 1
    manager.reload([specific(base, 2, stable=2)])
    assert served(manager, "stable") == 2
    eventually(lambda: states(manager) == {2: "AVAILABLE", 1: "END"})


@pytest.mark.parametrize("label", ["canary", ""])
def test_an_unknown_label_is_an_invalid_argument(started, base, label):
    publish(base, 1)
    manager = started()
    text = f"INVALID_ARGUMENT: Unrecognized servable version label: {label}"
    assert served(manager, label) == text
    assert served(manager, label, name="nobody") == text


def test_labels_at_the_start_need_the_option_although_the_version_exists(made, base):
    publish(base, 1)
    assert refusal(made(specific(base, 1, stable=1)).start) == unavailable(1)
    manager = made(specific(base, 1, stable=1), labels_for_unavailable=True)
    manager.start()
    assert served(manager, "stable") == 1


def test_the_option_lets_a_new_label_name_a_version_that_is_to_come(started, base, loader):
    publish(base, 1, 2)
    manager = started(specific(base, 1), labels_for_unavailable=True)
    gate = loader.gates["2"] = threading.Event()
    manager.reload([specific(base, 1, 2, canary=2)])
    missing = "NOT_FOUND: Servable not found for request: Specific(m, 2)"
    assert served(manager, "canary") == missing
    assert refusal(manager.reload, [specific(base, 1, 2, canary=3)]) == unavailable(3)
    gate.set()
    eventually(lambda: served(manager, "canary") == 2)


def test_a_reload_replaces_the_models_and_waits_for_the_new_ones(started, tmp_path, loader):
    for name in "abc":
        publish(tmp_path / name, 1)
    a, b, c = (Model(name, tmp_path / name) for name in "abc")
    manager = started(a, b)
    gate = loader.gates["1"] = threading.Event()
    reloading = in_background(lambda: manager.reload([b, c]))
    eventually(lambda: states(manager, "a") == {1: "END"})
    assert served(manager, name="b") == 1
    assert reloading.is_alive()
    gate.set()
    reloading.join(10)
    assert served(manager, name="c") == 1
    assert manager.models() == [b, c]
    manager.reload([])
    eventually(lambda: states(manager, "b") == states(manager, "c") == {1: "END"})
    manager.reload([a])
    assert served(manager, name="a") == 1


def test_a_model_that_is_configured_again_while_it_unloads_is_waited_for(started, base):
    """Also where the folders are looked at once."""
    publish(base, 1)
    model = Model("m", base)
    manager = started(model, poll_seconds=0)
    with manager.acquire("m"):
        manager.reload([])
        eventually(lambda: states(manager) == {1: "UNLOADING"})
        reloading = in_background(lambda: manager.reload([model], timeout=10))
        eventually(lambda: manager.models() == [model])
        time.sleep(0.05)
        assert reloading.is_alive()
    reloading.join(10)
    assert served(manager) == 1
    assert states(manager) == {1: "AVAILABLE"}


def test_a_reload_may_move_a_model_to_another_folder(started, tmp_path):
    publish(tmp_path / "one", 1)
    publish(tmp_path / "two", 2)
    manager = started(Model("m", tmp_path / "one"))
    manager.reload([Model("m", tmp_path / "two")])
    eventually(lambda: states(manager) == {2: "AVAILABLE", 1: "END"})


@pytest.mark.parametrize(
    "options",
    [{}, {"load_retries": 1, "retry_seconds": 60.0}],
    ids=["given up", "before its retry"],
)
def test_a_reload_may_correct_the_folder_of_a_version_that_failed(made, tmp_path, loader, options):
    publish(tmp_path / "wrong", 1)
    publish(tmp_path / "right", 1)
    loader.fail("1")
    manager = made(Model("m", tmp_path / "wrong"), **options)

    def start() -> None:
        with contextlib.suppress(ServingError):
            manager.start()

    starting = in_background(start)
    eventually(lambda: states(manager) == {1: "START" if options else "END"} and loader.calls)
    manager.reload([Model("m", tmp_path / "right")])
    eventually(lambda: states(manager) == {1: "AVAILABLE"})
    assert manager.status("m")[0].path == tmp_path / "right" / "1"
    starting.join(10)


def test_a_reload_says_which_new_model_failed(started, tmp_path, loader):
    publish(tmp_path / "a", 1)
    publish(tmp_path / "b", 2)
    loader.fail("2")
    a, b = Model("a", tmp_path / "a"), Model("b", tmp_path / "b")
    manager = started(a)
    assert refusal(manager.reload, [a, b]) == (
        "UNKNOWN: 1 model(s) did not become available: {{{name: b version: 2} due to error: "
        "DATA_LOSS: version 2 is damaged}, }"
    )
    assert served(manager, name="a") == 1


def test_a_reload_of_a_model_without_a_folder_ends_with_its_deadline(started, tmp_path):
    publish(tmp_path / "a", 1)
    a = Model("a", tmp_path / "a")
    manager = started(a)
    text = refusal(manager.reload, [a, Model("b", tmp_path / "b")], timeout=0.1)
    assert text.startswith("DEADLINE_EXCEEDED")
    assert served(manager, name="a") == 1
    manager.reload([a], timeout=10)  # And a later one goes through.


def test_a_reload_is_looked_at_at_once_even_if_the_folders_are_looked_at_once(started, tmp_path):
    publish(tmp_path / "a", 1)
    publish(tmp_path / "b", 1)
    manager = started(Model("a", tmp_path / "a"), poll_seconds=0)
    manager.reload([Model("b", tmp_path / "b")], timeout=10)
    assert served(manager, name="b") == 1


def test_models_load_at_the_same_time_where_there_are_threads_for_it(started, tmp_path, loader):
    loader.gates["1"] = threading.Event()
    threading.Timer(0.3, loader.gates["1"].set).start()
    for name in "abcd":
        publish(tmp_path / name, 1)
    started(*(Model(name, tmp_path / name) for name in "abcd"), load_threads=3)
    assert loader.most_under_way == 3
