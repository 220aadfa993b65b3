"""Joins tasks that come at the same time into batches, which a few threads process.

Counterpart: tensorflow/core/kernels/batching_util/shared_batch_scheduler.h. It is written in Python
because what it does for a task takes a tenth of the time of a run of a graph with TensorFlow's own
scheduler in it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from serving.errors import ServingError


class Task:
    """Rows that are to be run in one batch.

    Attributes:
        feeds: Arrays by name, each with a row for each of `rows`.
        rows: Number of rows.
        deadline: Time of the monotonic clock at which the caller gives up; None for never.
        batch: The batch that it is in, once this is processed.
        results: Its rows of the outputs; None before the end, or if the batch failed.
    """

    __slots__ = ("_ended", "batch", "deadline", "feeds", "results", "rows")

    def __init__(self, feeds: Mapping[str, np.ndarray], rows: int, deadline: float | None) -> None:
        self.feeds = feeds
        self.rows = rows
        self.deadline = deadline
        self.batch: Batch | None = None
        self.results: list[np.ndarray] | None = None
        self._ended = threading.Lock()  # Held until the end; lighter than an event.
        self._ended.acquire()

    def waits(self, now: float) -> bool:
        """Whether the caller waits until after a time."""
        return self.deadline is None or self.deadline > now

    def end(self) -> None:
        """Ends the wait."""
        self._ended.release()

    def wait(self) -> bool:
        """Waits for the end; returns False if the deadline comes first."""
        if self.deadline is None:
            return self._ended.acquire()
        left = max(0.0, self.deadline - time.monotonic())
        return self._ended.acquire(timeout=min(left, threading.TIMEOUT_MAX))


@dataclass(eq=False)
class Batch:
    """Tasks that are processed together.

    Attributes:
        key: That of its queue.
        due: Time of the monotonic clock at which it is processed, full or not.
        tasks: The tasks, at least one.
        rows: The number of their rows.
        started, ended: When it was processed, on the same clock.
        size: The number of rows that were run, with padding.
    """

    key: Any
    due: float
    tasks: list[Task] = field(default_factory=list)
    rows: int = 0
    started: float = 0.0
    ended: float = 0.0
    size: int = 0


class Scheduler:
    """Queues of batches, by key, and the threads that process them.

    A batch is processed when it is full, when the next task does not fit, or when it is due, as
    soon as there is a thread.

    Args:
        process: Processes a batch; it sets results, and raises nothing.
        threads: Maximum number of batches processed at the same time.
        max_rows: Rows of a full batch.
        timeout: Seconds until a batch is due.
        max_batches: Batches of a queue that may wait.
    """

    def __init__(
        self,
        process: Callable[[Batch], None],
        *,
        threads: int,
        max_rows: int,
        timeout: float,
        max_batches: int,
    ) -> None:
        self._process = process
        self._max_threads = threads
        self._max_rows = max_rows
        self._timeout = timeout
        self._max_batches = max_batches
        self._changed = threading.Condition()
        self._queues: dict[Hashable, deque[Batch]] = {}
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, key: Hashable, tasks: Sequence[Task]) -> None:
        """Adds tasks, each of at most `max_rows` rows, to the batches of a queue.

        Raises:
            ServingError: UNAVAILABLE: too many batches wait.
        """
        with self._changed:
            queue = self._queues.setdefault(key, deque())
            for task in tasks:
                if not queue or queue[-1].rows + task.rows > self._max_rows:
                    self._open(key, queue)
                batch = queue[-1]
                batch.tasks.append(task)
                batch.rows += task.rows
                if batch.rows == self._max_rows:
                    batch.due = 0.0
                    self._changed.notify()

    def close(self) -> None:
        """Processes what waits, and ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _open(self, key: Hashable, queue: deque[Batch]) -> None:
        """Appends a batch to a queue; the one before it is full enough."""
        if self._closed or len(queue) >= self._max_batches:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{len(queue)} batches enqueued and max_enqueued_batches is {self._max_batches}",
            )
        if queue:
            queue[-1].due = 0.0
        queue.append(Batch(key, time.monotonic() + self._timeout))
        self._wake()

    def _wake(self) -> None:
        """Wakes a thread, or starts one."""
        if self._idle:
            self._changed.notify()
        elif len(self._threads) < self._max_threads:
            thread = threading.Thread(target=self._work, name="batch", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while batch := self._next():
            batch.started = time.monotonic()
            tasks = batch.tasks
            # Nobody waits for the others any more.
            batch.tasks = [task for task in tasks if task.waits(batch.started)]
            batch.rows = sum(task.rows for task in batch.tasks)
            if batch.tasks:
                self._process(batch)
            for task in tasks:
                task.batch = batch
                task.end()

    def _next(self) -> Batch | None:
        """Waits for the batch that is due first; None ends the thread."""
        with self._changed:
            while True:
                first = min(
                    (queue[0] for queue in self._queues.values() if queue),
                    key=lambda batch: batch.due,
                    default=None,
                )
                if first is None and self._closed:
                    return None
                left = first.due - time.monotonic() if first else None
                if first and left is not None and (left <= 0 or self._closed):
                    queue = self._queues[first.key]
                    queue.popleft()
                    if not queue:
                        del self._queues[first.key]
                    if self._queues:
                        self._wake()
                    return first
                self._idle += 1
                self._changed.wait(left)
                self._idle -= 1
