"""Signals: a run ends by itself, or is ended while it is busy."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from pipelines import interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal_the_body_decides_when_to_end(number):
    before = signal.getsignal(number)
    done = []

    def body() -> None:
        with interruption.deferred() as interrupted:
            done.append(interrupted())
            signal.raise_signal(number)
            done.append(interrupted())

    with pytest.raises(KeyboardInterrupt):
        body()
    assert done == [False, True]
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_the_body_at_once():
    def body() -> None:
        with interruption.deferred():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        body()


def test_without_a_signal_nothing_happens():
    with interruption.deferred() as interrupted, interruption.bounded(pytest.fail):
        assert not interrupted()


def test_other_threads_have_no_signals():
    answers: list[bool] = []

    def body() -> None:
        with interruption.deferred() as interrupted, interruption.bounded(pytest.fail):
            answers.append(interrupted())

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert answers == [False]


# One call of a library that Python cannot interrupt, as a long training step.
BUSY = """
import hashlib, signal
from pipelines import interruption

signal.signal(signal.SIGTERM, signal.default_int_handler)
with interruption.bounded(lambda: print("gave up", flush=True), seconds=0.5):
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)
"""


def test_a_process_that_is_busy_in_a_library_ends_within_the_grace():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as busy:
        assert busy.stdout is not None
        try:
            assert busy.stdout.readline() == "busy\n"
            time.sleep(0.5)  # The call begins after the line.
            busy.terminate()
            started = time.monotonic()
            assert busy.wait(timeout=15) == 130
            assert time.monotonic() - started >= 0.4
            assert busy.stdout.read() == "gave up\n"
        finally:
            busy.kill()
