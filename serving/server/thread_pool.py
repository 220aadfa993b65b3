"""A thread pool for requests: few threads while they compute, more while some wait.

Counterpart: gRPC's own thread manager in TensorFlow Serving, which has no interpreter lock to
share.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

# A thread that computes for longer than this without `waiting` gets another one beside it.
_SLOW_SECONDS = 0.005
_IDLE_SECONDS = 10.0

_of_thread = threading.local()


@contextmanager
def waiting() -> Iterator[None]:
    """Marks a body in which this thread runs no Python, so that another thread may.

    It does nothing in threads that belong to no pool.
    """
    pool: GrowingPool | None = getattr(_of_thread, "pool", None)
    if pool is None:
        yield
        return
    pool.release()
    try:
        yield
    finally:
        pool.acquire()


@contextmanager
def parked() -> Iterator[None]:
    """Like `waiting`, for a wait that may take long: the thread does not count meanwhile.

    So however many requests wait like this, others find a thread.
    """
    pool: GrowingPool | None = getattr(_of_thread, "pool", None)
    if pool is None:
        yield
        return
    pool.release(parked=1)
    try:
        yield
    finally:
        pool.acquire(parked=1)


class GrowingPool(futures.Executor):
    """Runs tasks in as few threads as keep up with them.

    Threads that run Python at the same time compete for the interpreter lock: eight of them answer
    a fifth fewer requests to a trivial model than two do. So `min_threads` take tasks, and others
    are woken or started for those that are `waiting`, up to `max_threads` in all. Nothing needs to
    be shut down: idle threads end after seconds.

    Args:
        max_threads: Maximum number of threads.
        min_threads: Number of threads that run Python at the same time.
        name: Prefix of the threads' names.
    """

    def __init__(self, max_threads: int, *, min_threads: int = 2, name: str = "pool") -> None:
        self._max_threads = max_threads
        self._min_threads = min(min_threads, max_threads)
        self._name = name
        self._lock = threading.Lock()
        self._tasks: deque[_Task] = deque()
        self._threads: set[_Thread] = set()
        self._idle: list[_Thread] = []
        self._busy = 0
        self._parked = 0
        # Threads allowed beyond `min_threads`, as those that took tasks are slow.
        self._extra = 0
        self._last_taken = 0.0
        self._is_shut_down = False
        self._queued = threading.Event()
        self._has_watcher = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future:
        """Schedules the function and returns its future at once.

        Raises:
            RuntimeError: The pool was shut down.
        """
        task = _Task(fn, args, kwargs)
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._tasks.append(task)
            if self._busy < self._min_threads:
                self._add_thread()
            else:
                self._notify_watcher()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks and ends the threads when the queued tasks are done."""
        with self._lock:
            self._is_shut_down = True
            if cancel_futures:
                for task in self._tasks:
                    task.future.cancel()
                self._tasks.clear()
            while self._idle:
                self._add_thread()
            threads = list(self._threads)
        if wait:
            for thread in threads:
                thread.join()

    def release(self, *, parked: int = 0) -> None:
        """Lets another thread take tasks, an additional one instead of one that is `parked`."""
        with self._lock:
            self._busy -= 1
            self._parked += parked
            if self._tasks and self._busy < self._min_threads:
                self._add_thread()

    def acquire(self, *, parked: int = 0) -> None:
        """Counts the calling thread as busy again after `release`; never blocks for long."""
        with self._lock:
            self._busy += 1
            self._parked -= parked

    def next_task(self, thread: _Thread) -> _Task | None:
        """Waits for the next task of a thread; None ends the thread."""
        while True:
            with self._lock:
                limit = self._min_threads + self._extra
                if self._tasks and (self._busy <= limit or self._is_shut_down):
                    self._last_taken = time.monotonic()
                    return self._tasks.popleft()
                self._busy -= 1
                if self._is_shut_down:
                    self._threads.discard(thread)
                    return None
                self._idle.append(thread)
                if self._tasks:
                    self._notify_watcher()
            if not thread.sleep(_IDLE_SECONDS):
                with self._lock:
                    if thread in self._idle:  # It was not woken in the meantime.
                        self._idle.remove(thread)
                        self._threads.discard(thread)
                        return None
                thread.sleep(_IDLE_SECONDS)  # It was: the wake-up call has come by now.

    def _add_thread(self) -> None:
        """Wakes the thread that fell asleep last, or starts one. The lock is held."""
        if self._idle:
            self._idle.pop().wake()
        elif len(self._threads) < self._max_threads + self._parked:
            thread = _Thread(self, f"{self._name}-{len(self._threads)}")
            try:
                thread.start()  # It waits for the lock first.
            except RuntimeError:
                if not self._threads:
                    raise
                return  # The system has no more threads; the existing ones go on.
            self._threads.add(thread)
        else:
            return
        self._busy += 1

    def _notify_watcher(self) -> None:
        """Tells the watcher that tasks are queued. The lock is held."""
        self._queued.set()
        if not self._has_watcher:
            self._has_watcher = True
            name = f"{self._name} watcher"
            threading.Thread(target=self._watch, name=name, daemon=True).start()

    def _watch(self) -> None:
        """Adds extra threads while tasks are queued and the busy threads are slow."""
        while True:
            queued = self._queued.wait(_IDLE_SECONDS)
            time.sleep(_SLOW_SECONDS)
            with self._lock:
                if not self._tasks:
                    self._extra = 0
                    if not queued or self._is_shut_down:
                        self._has_watcher = self._queued.is_set()
                        if not self._has_watcher:
                            return
                    self._queued.clear()
                elif time.monotonic() - self._last_taken > _SLOW_SECONDS:
                    self._extra = min(self._extra + 1, self._max_threads)
                    self._add_thread()
                else:
                    self._extra = max(self._extra - 1, 0)
                    if self._busy < self._min_threads:
                        self._add_thread()


class _Task:
    """A function to run, and its future."""

    __slots__ = ("arguments", "function", "future", "options")

    def __init__(self, function: Callable[..., Any], arguments: tuple, options: dict) -> None:
        self.function = function
        self.arguments = arguments
        self.options = options
        self.future: futures.Future = futures.Future()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.function(*self.arguments, **self.options)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class _Thread(threading.Thread):
    """A thread of a pool; it sleeps until it is woken."""

    def __init__(self, pool: GrowingPool, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._pool = pool
        # Held while nobody wakes it: a lock is a quarter of the work of a semaphore.
        self._alarm = threading.Lock()
        self._alarm.acquire()

    def run(self) -> None:
        _of_thread.pool = self._pool
        while task := self._pool.next_task(self):
            task.run()
            del task  # Frees what the request holds before the next one comes.

    def sleep(self, seconds: float) -> bool:
        """Returns whether it was woken within the time."""
        return self._alarm.acquire(timeout=seconds)

    def wake(self) -> None:
        self._alarm.release()
