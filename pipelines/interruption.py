"""Signals that end a run: SIGTERM, which announces a preemption, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Seconds after SIGTERM in which a run closes itself, and those for closing it from outside, of the
# 20 or more that a machine leaves before it kills.
_GRACE, _LAST = 12.0, 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Lets its body end by itself after a signal: it asks whether there was one.

    A second signal raises `KeyboardInterrupt` at once. If the body does not ask, it is raised at
    the end of the body.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # Other threads get no signals.
        return

    def request(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, request) for number in _SIGNALS}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def bounded(give_up: Callable[[], None], seconds: float = _GRACE) -> Iterator[None]:
    """Ends the process after SIGTERM even if its body is busy in a library's code.

    Python runs the handler of a signal only between its own instructions; one training step may
    take minutes. So a thread hears of the signal as well and waits for the body to end. If it does
    not, the thread calls `give_up` and ends the process with exit code 130.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Other threads get no signals.
        return
    ended = threading.Event()
    reading, writing = socket.socketpair()
    writing.setblocking(False)

    def watch() -> None:
        while numbers := reading.recv(16):
            if signal.SIGTERM not in numbers:
                continue
            if not ended.wait(seconds):
                threading.Timer(_LAST, os._exit, [130]).start()
                try:
                    give_up()
                finally:
                    os._exit(130)
            return

    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=watch, daemon=True, name="preemption")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        writing.close()
        thread.join()
        reading.close()
