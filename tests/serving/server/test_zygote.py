"""The process that others are forked from: what they are like, and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from operator import methodcaller

import psutil
import pytest

from serving.server.zygote import Zygote
from tests.serving.server.processes import ENVIRONMENT, ROOT
from tests.serving.waiting import eventually


def describe(connection: Connection) -> None:
    connection.send((os.getpid(), os.getsid(0), "tensorflow" in sys.modules, dict(os.environ)))


def be_killed(number: int, connection: Connection) -> None:
    os.kill(os.getpid(), number)


def wait(connection: Connection) -> None:
    connection.recv()


def test_a_process_has_tensorflow_and_the_kernels_of_the_server_but_no_gpu(zygote):
    child = zygote.start(describe)
    pid, session, has_tensorflow, environment = child.connection.recv()
    assert pid == child.pid
    assert session != os.getsid(0), "Ctrl-C is not for it"
    assert has_tensorflow
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert child.wait() == 0
    child.close()


@pytest.mark.parametrize(
    ("main", "code"),
    [
        (methodcaller("send", "done"), 0),
        (methodcaller("unknown"), 1),
        (partial(be_killed, signal.SIGABRT), -signal.SIGABRT),
        (partial(be_killed, signal.SIGFPE), -signal.SIGFPE),
        (partial(be_killed, signal.SIGTERM), 0),
    ],
)
def test_it_is_known_how_a_process_ended(zygote, main, code):
    child = zygote.start(main)
    assert child.wait() == child.wait() == code
    child.close()


def test_the_next_process_is_there_in_no_time(zygote):
    zygote.start(wait).close()
    begun = time.process_time()
    for number in range(20):
        child = zygote.start(methodcaller("send", number))
        assert child.connection.recv() == number
        child.close()
    assert time.process_time() - begun < 1


def test_closing_ends_a_process_whatever_it_does(zygote):
    child = zygote.start(sleep_on)
    child.connection.recv()
    process = psutil.Process(child.pid)
    child.close()
    eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    child.close()


def sleep_on(connection: Connection) -> None:
    connection.send("begun")
    time.sleep(600)


# Forked from a process without threads, as a worker does it; without TensorFlow, which takes long.
FORKED = """
import os, signal, sys
from operator import methodcaller
from serving.server.zygote import Zygote

zygote = Zygote.forked()
child = zygote.start(methodcaller("send", "forked"))
print(child.connection.recv(), child.wait())
waiting = zygote.start(methodcaller("recv"))
print(waiting.pid, flush=True)
if sys.argv[1] == "close":
    zygote.close()
    waiting.connection.send("still there")
    print(waiting.wait())
    sys.exit()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["close", "kill"])
def test_what_was_forked_ends_with_the_process_it_is_for(end):
    done = subprocess.run(
        [sys.executable, "-c", FORKED, end],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    first, pid, *rest = done.stdout.splitlines()
    assert first == "forked 0"
    assert rest == (["0"] if end == "close" else [])
    assert done.returncode == (0 if end == "close" else -signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(int(pid)))
    assert "Traceback" not in done.stderr


@pytest.fixture
def program(monkeypatch, tmp_path) -> Callable[[str], None]:
    """Takes the place of Python in zygotes."""

    def become(script: str) -> None:
        (tmp_path / "program").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "program").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "program"))

    return become


def test_a_zygote_that_has_ended_is_replaced(program, tmp_path):
    starts = tmp_path / "starts"
    program(f"echo started >> {starts}; sleep 0.5")
    zygote = Zygote()
    children = []
    for number in (1, 2):
        children.append(zygote.start(wait))
        assert zygote._running
        control, _ = zygote._running
        with contextlib.suppress(ConnectionResetError):  # It has not read what it was sent.
            assert control.recv(1) == b""
        assert starts.read_text() == "started\n" * number
    zygote.close()
    for child in children:
        assert child.wait() == -signal.SIGKILL
        with pytest.raises(EOFError):
            _ = child.pid
        child.close()


@pytest.mark.timeout(60)
def test_a_zygote_ends_whatever_it_does_and_whoever_waits_for_its_processes(program):
    program("exec sleep 600")
    zygote = Zygote()
    child = zygote.start(wait)
    running: list[psutil.Process] = []

    def found() -> bool:
        children = psutil.Process().children()
        running.extend(child for child in children if child.cmdline() == ["sleep", "600"])
        return bool(running)

    eventually(found)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(child.wait)
        eventually(child._reading.locked)
        child.close()
        zygote.close()
        assert not running[0].is_running()
        assert waiting.result() == -signal.SIGKILL
