"""The zygote: a process that has imported TensorFlow, from which others are forked.

To start a process and import TensorFlow takes seconds of processor time; a fork of a process that
has imported it takes milliseconds, and shares its memory. A process can be forked safely only as
long as no other thread runs in it. So a worker forks its zygote before it starts any, and the
zygote never starts one. (`multiprocessing`'s fork server would import all a second time.)
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NoReturn

from serving.server.process import import_tensorflow

log = logging.getLogger(__name__)

_WORD = struct.Struct("i")


class Child:
    """A process that a zygote has forked, or is about to.

    Attributes:
        connection: To the process, which ends when this side is closed and it notices.
    """

    def __init__(self, connection: Connection, life: socket.socket) -> None:
        self.connection = connection
        self._life = life
        self._words: list[int] = []
        self._reading = threading.Lock()

    @property
    def pid(self) -> int:
        """Its id; waits until it has been forked.

        Raises:
            EOFError: It was not forked, as the zygote has ended.
        """
        return self._word(0)

    def wait(self) -> int:
        """Waits for its end and returns the exit code; negative for the signal that ended it."""
        try:
            return self._word(1)
        except (EOFError, OSError):  # Killed together with what watched it, or closed.
            return -signal.SIGKILL

    def close(self) -> None:
        """Ends the process at once, if it has not ended, and frees what belongs to it.

        It does not wait, even if another thread does.
        """
        with contextlib.suppress(OSError, EOFError):
            pid = self._word(0, wait=False)
            # Without the exit code it has not ended, so that the id is still its own.
            with contextlib.suppress(BlockingIOError):
                self._word(1, wait=False)
                pid = 0
            if pid:
                os.kill(pid, signal.SIGKILL)
        self.connection.close()
        self._life.close()

    def _word(self, index: int, *, wait: bool = True) -> int:
        """Returns the process's id, or its exit code, which what watches it sends one by one.

        Raises:
            BlockingIOError: It has not come yet, and is not to be waited for.
            EOFError: It does not come.
        """
        if len(self._words) <= index:
            if not self._reading.acquire(blocking=wait):  # Another thread waits for it.
                raise BlockingIOError
            try:
                while len(self._words) <= index:
                    word = self._life.recv(_WORD.size, 0 if wait else socket.MSG_DONTWAIT)
                    if not word:
                        raise EOFError
                    self._words += _WORD.unpack(word)
            finally:
                self._reading.release()
        return self._words[index]


class Zygote:
    """Starts processes: with TensorFlow, without a GPU, whose memory belongs to the server.

    The first one that is started starts the zygote itself, which takes seconds, as does one after
    its end; see `forked` for one that is there already. Threads may share it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A connection to the zygote, which ends when that is closed, and what kills it.
        self._running: tuple[socket.socket, Callable[[], object]] | None = None

    @classmethod
    def forked(cls) -> Zygote:
        """Returns a fork of this process, which must have imported TensorFlow and no threads."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _exit_after(lambda: _become_zygote(theirs))
        theirs.close()
        zygote = cls()
        zygote._running = ours, partial(_kill_fork, pid)
        return zygote

    def start(self, main: Callable[[Connection], None]) -> Child:
        """Forks a process that calls `main`, a function that can be pickled, and then ends.

        It returns at once: what is sent to the process waits for it.

        Raises:
            OSError: The zygote has ended, for the second time.
        """
        with self._lock:
            if self._running:
                with contextlib.suppress(OSError):
                    return _start(self._running[0], main)
                self._end()
            self._running = _spawn()
            return _start(self._running[0], main)

    def close(self) -> None:
        """Ends the zygote at once, whatever it does; what it has forked lives on."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._running:
            control, kill = self._running
            self._running = None
            control.close()
            kill()  # It has no state. It may be importing TensorFlow, or never see the end.


def _spawn() -> tuple[socket.socket, Callable[[], object]]:
    """Starts a zygote that imports TensorFlow itself."""
    log.info("Starting a process that starts others, for requests that need one")
    ours, theirs = socket.socketpair()
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.server.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=2,  # The server's own stdout may be read by the program that started it.
            env={**os.environ, "PYTHONPATH": path},
        )

    def kill() -> None:
        process.kill()
        process.wait()

    return ours, kill


def _kill_fork(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _start(control: socket.socket, main: Callable[[Connection], None]) -> Child:
    ours, theirs = Pipe()
    life, watched = socket.socketpair()
    child = Child(ours, life)
    try:
        with theirs, watched:
            socket.send_fds(control, [b"\0"], [theirs.fileno(), watched.fileno()])
    except OSError:
        child.close()
        raise
    with contextlib.suppress(OSError):  # A process that has already ended fails at its use.
        ours.send(main)
    return child


def _become_zygote(control: socket.socket) -> None:
    """Forks until the other side is closed."""
    gc.freeze()  # What is there stays, so that collections of a fork do not copy it.
    # Ctrl-C and SIGTERM are for the server, which ends these processes when it needs them no more.
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # A GPU's memory belongs to the server.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The system buries watchers that have ended.
    while True:
        content, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not content:
            return
        with contextlib.suppress(OSError):  # No more processes: the other side sees an end.
            if os.fork() == 0:
                control.close()
                _exit_after(lambda: _watch(*descriptors))  # noqa: B023  # Called at once.
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(descriptor: int, life: int) -> None:
    """Forks the process itself, and reports its id and how it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(life)
        _exit_after(lambda: _call(Connection(descriptor)))
    os.close(descriptor)
    os.write(life, _WORD.pack(pid))
    _, status = os.waitpid(pid, 0)
    os.write(life, _WORD.pack(os.waitstatus_to_exitcode(status)))


def _call(connection: Connection) -> None:
    main = connection.recv()
    main(connection)


def _exit_after(function: Callable[[], None]) -> NoReturn:
    """Ends this process after a call, without what Python and TensorFlow do at a normal end."""
    code = 0
    try:
        function()
    except (EOFError, ConnectionError):  # The server has gone.
        pass
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


if __name__ == "__main__":
    import_tensorflow()
    _exit_after(lambda: _become_zygote(socket.socket(fileno=int(sys.argv[1]))))
