"""Threads for requests: few while they are quick, more while some wait for something else."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

# Whoever computes for so long without `waiting` is given company.
_PATIENCE_SECONDS = 0.005
_IDLE_SECONDS = 10.0

_of_thread = threading.local()


@contextmanager
def waiting() -> Iterator[None]:
    """Says that this thread runs no Python in the body, so that another one may.

    It does nothing in threads that are no pool's.
    """
    pool: GrowingPool | None = getattr(_of_thread, "pool", None)
    if pool is None:
        yield
        return
    pool.step_back()
    try:
        yield
    finally:
        pool.step_in()


class GrowingPool(futures.Executor):
    """Runs tasks in as few threads as keep up with them.

    Threads that run Python at the same time stand in each other's way: eight of them answer a fifth
    fewer requests to a trivial model than two do. So no more than `few` take tasks, and others
    are woken or started for those that are `waiting`, up to `most` in all. Nothing needs to be
    shut down: threads without work end after seconds.

    Args:
        most: Threads at most.
        few: Threads that run Python at the same time.
        name: What the threads are called.
    """

    def __init__(self, most: int, *, few: int = 2, name: str = "pool") -> None:
        self._most = most
        self._few = min(few, most)
        self._name = name
        self._lock = threading.Lock()
        self._tasks: deque[_Task] = deque()
        self._threads: set[_Thread] = set()
        self._idle: list[_Thread] = []
        self._busy = 0
        self._company = 0
        self._taken = 0.0
        self._ended = False
        self._queued = threading.Event()
        self._watched = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future:
        """Runs the function in a thread, and returns at once.

        Raises:
            RuntimeError: The pool was shut down.
        """
        task = _Task(fn, args, kwargs)
        with self._lock:
            if self._ended:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._tasks.append(task)
            if self._busy < self._few:
                self._add_thread()
            else:
                self._look_after()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks and ends the threads when those that wait are done."""
        with self._lock:
            self._ended = True
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

    def step_back(self) -> None:
        """Lets another thread take tasks; see `waiting`."""
        with self._lock:
            self._busy -= 1
            if self._tasks and self._busy < self._few:
                self._add_thread()

    def step_in(self) -> None:
        """Ends what `step_back` began."""
        with self._lock:
            self._busy += 1

    def next_task(self, thread: _Thread) -> _Task | None:
        """Returns what a thread is to do next; None ends it."""
        while True:
            with self._lock:
                if self._tasks and (self._busy <= self._few + self._company or self._ended):
                    self._taken = time.monotonic()
                    return self._tasks.popleft()
                self._busy -= 1
                if self._ended:
                    self._threads.discard(thread)
                    return None
                self._idle.append(thread)
                if self._tasks:
                    self._look_after()
            if not thread.sleep(_IDLE_SECONDS):
                with self._lock:
                    if thread in self._idle:  # Nobody has woken it in the meantime.
                        self._idle.remove(thread)
                        self._threads.discard(thread)
                        return None
                thread.sleep(_IDLE_SECONDS)  # Whoever did has said so by now.

    def _add_thread(self) -> None:
        """Wakes the thread that fell asleep last, or starts one. The lock is held."""
        if self._idle:
            self._idle.pop().wake()
        elif len(self._threads) < self._most:
            thread = _Thread(self, f"{self._name}-{len(self._threads)}")
            try:
                thread.start()  # It waits for the lock first.
            except RuntimeError:
                if not self._threads:
                    raise
                return  # The machine has no more threads; those that are here go on.
            self._threads.add(thread)
        else:
            return
        self._busy += 1

    def _look_after(self) -> None:
        """Has the watcher look after the tasks that wait. The lock is held."""
        self._queued.set()
        if not self._watched:
            self._watched = True
            name = f"{self._name} watcher"
            threading.Thread(target=self._watch, name=name, daemon=True).start()

    def _watch(self) -> None:
        """Gives company to threads that take long, as long as tasks wait."""
        while True:
            queued = self._queued.wait(_IDLE_SECONDS)
            time.sleep(_PATIENCE_SECONDS)
            with self._lock:
                if not self._tasks:
                    self._company = 0
                    if not queued or self._ended:
                        self._watched = self._queued.is_set()
                        if not self._watched:
                            return
                    self._queued.clear()
                elif time.monotonic() - self._taken > _PATIENCE_SECONDS:
                    self._company = min(self._company + 1, self._most)
                    self._add_thread()
                else:
                    self._company = max(self._company - 1, 0)
                    if self._busy < self._few:
                        self._add_thread()


class _Task:
    """A function that is to be run, and its future."""

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
        self._alarm = threading.Semaphore(0)

    def run(self) -> None:
        _of_thread.pool = self._pool
        while task := self._pool.next_task(self):
            task.run()
            del task  # What a request holds is freed before the next one comes.

    def sleep(self, seconds: float) -> bool:
        """Returns whether it was woken."""
        return self._alarm.acquire(timeout=seconds)

    def wake(self) -> None:
        self._alarm.release()
