"""Processes end with their block, however it ends."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from benchmarks.processes import ProcessFailedError, isolated, peak_memory, started

# A parent with a child, both deaf to SIGTERM, that says when both run.
FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
print(subprocess.Popen([sys.executable, "-c", child]).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.processes._GRACE_SECONDS", 0.2)


def ended(pid: int) -> bool:
    """Returns whether a process has ended, maybe unnoticed by who shall collect it."""
    for _ in range(500):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("how", [None, ValueError, KeyboardInterrupt])
def test_a_process_and_its_children_end_with_the_block(tmp_path, how):
    log = tmp_path / "log"
    pids: list[int] = []

    def run() -> None:
        with started([sys.executable, "-c", FAMILY], log, lambda: bool(log.read_text())) as process:
            pids.extend([process.pid, int(log.read_text())])
            if how:
                raise how

    if how:
        with pytest.raises(how):
            run()
    else:
        run()
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)


def test_a_process_that_ends_is_told_with_its_log(tmp_path):
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"]
    with (
        pytest.raises(ProcessFailedError, match=r"(?s)ended with code 3.*no such model"),
        started(command, tmp_path / "log", lambda: False),
    ):
        pytest.fail("it was not ready")


def test_a_process_that_does_not_get_ready_is_ended(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        pytest.raises(ProcessFailedError, match=r"not ready in 0 s"),
        started(command, tmp_path / "log", lambda: False, timeout=0.1),
    ):
        pytest.fail("it was not ready")


def test_programs_find_the_project_and_what_they_are_given(tmp_path):
    log = tmp_path / "log"
    code = "import benchmarks, os; print(os.environ['GIVEN'], flush=True)"
    with started(
        [sys.executable, "-c", f"{code}; import time; time.sleep(600)"],
        log,
        lambda: log.read_text() == "value\n",
        environment={"GIVEN": "value"},
    ):
        pass


def fail() -> None:
    raise ValueError("as it was told")


def complain() -> None:
    os.write(2, b"from a native library\n")


def test_an_isolated_process_returns_and_raises_and_keeps_its_noise(tmp_path: Path):
    log = tmp_path / "log"
    with isolated(log) as executor:
        pid = executor.submit(os.getpid).result()
        assert pid != os.getpid()
        assert executor.submit(os.getpid).result() == pid
        with pytest.raises(ValueError, match="as it was told"):
            executor.submit(fail).result()
        executor.submit(complain).result()
    assert "from a native library" in log.read_text()
    assert ended(pid)


def test_an_isolated_process_is_not_waited_for_after_an_interrupt(tmp_path):
    pids: list[int] = []
    waiting: list[Future[None]] = []

    def run() -> None:
        with isolated(tmp_path / "one") as one, isolated(tmp_path / "other") as other:
            pids.extend(executor.submit(os.getpid).result() for executor in (one, other))
            waiting.extend(executor.submit(time.sleep, 600) for executor in (one, other))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(pids) == len(waiting) == 2
    assert all(ended(pid) for pid in pids)
    for future in waiting:
        with pytest.raises(BrokenProcessPool):
            future.result()


def test_the_most_memory_of_a_process_is_its_own(tmp_path):
    held = bytearray(b"x" * (512 << 20))
    with isolated(tmp_path / "log") as process:
        child = process.submit(peak_memory).result(timeout=60)
    assert len(held) <= peak_memory()
    assert child < len(held)
