"""Large JSON documents are converted in other processes.

To parse JSON and to turn its lists into arrays takes 50 to 400 ms for each 10 MB, in calls that
keep the interpreter's lock for all of it: no other request would move. TensorFlow Serving, which
has no such lock, has no counterpart.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import grpc

from serving.errors import ServingError
from serving.server import thread_pool
from serving.server.zygote import Child, Zygote

# A process that has had more than this ends, as its memory may stay large.
_MAX_KEPT_BYTES = 1 << 25


class Converter:
    """Calls functions in other processes, as many at a time as there are CPUs.

    Threads may share it. Processes are started when they are needed, and kept.

    Args:
        zygote: Starts the processes.
    """

    def __init__(self, zygote: Zygote) -> None:
        self._zygote = zygote
        self._turns = threading.Semaphore(os.cpu_count() or 1)
        self._idle: queue.LifoQueue[Child] = queue.LifoQueue()
        self._children: set[Child] = set()

    def call(self, function: Callable[..., Any], content: bytes, *arguments: Any) -> Any:
        """Returns what a function returns for some content, and for other arguments.

        All but the content is sent as pickles, which the lock is kept for.

        Raises:
            ServingError: What the function raises; INTERNAL for any other error of it;
                RESOURCE_EXHAUSTED if the process was killed.
        """
        with thread_pool.parked(), self._turns:
            child = self._child()
            try:
                child.connection.send((function, arguments))
                child.connection.send_bytes(content)
                error, result = child.connection.recv()
            except (EOFError, OSError):
                self._end(child)
                raise ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "the process that converted JSON was killed, as it happens when memory runs "
                    "out",
                ) from None
            if len(content) > _MAX_KEPT_BYTES:
                self._end(child)
            else:
                self._idle.put(child)
        if error:
            raise ServingError(grpc.StatusCode[error], result)
        return result

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        for child in list(self._children):
            self._end(child)

    def _child(self) -> Child:
        with contextlib.suppress(queue.Empty):
            while child := self._idle.get_nowait():
                if not child.connection.poll():
                    return child
                self._end(child)  # It has nothing to say: it was killed.
        child = self._zygote.start(answer)
        self._children.add(child)
        return child

    def _end(self, child: Child) -> None:
        self._children.discard(child)
        child.close()


def answer(connection: Connection) -> None:
    """Calls the functions that come over a connection, until it is closed."""
    while True:
        function, arguments = connection.recv()
        content = connection.recv_bytes()
        try:
            result = ("", function(content, *arguments))
        except ServingError as error:
            result = (error.code.name, error.message)
        except Exception as error:
            traceback.print_exc()
            result = ("INTERNAL", f"{type(error).__name__}: {error}")
        del content
        connection.send(result)
        del result
