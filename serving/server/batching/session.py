"""Server-side batching: runs requests that arrive at the same time together.

Counterparts: tensorflow_serving/batching/batching_session.cc, batching_util.h and
servables/tensorflow/bundle_factory_util.cc. Differences to TensorFlow Serving: each version of a
model has threads of its own, not one pool shared by all; a batch that fails is run again request by
request, so that each gets its own answer; and requests whose rows differ in shape have queues of
their own, instead of failing their batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from serving.errors import ServingError
from serving.server import config_files, thread_pool
from serving.server.batching import parameters as batching_parameters
from serving.server.batching.scheduler import Batch, Scheduler, Task
from serving.server.monitoring import observation
from serving.server.monitoring.batch_statistics import BatchStatistics
from serving.server.servables.base import Servable

log = logging.getLogger(__name__)

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_MAX_PADDED_RANK = 6
# By name, dtype and what rows of a queue have in common; then the outputs.
_Key = tuple[tuple[tuple[str, np.dtype, Any], ...], tuple[str, ...]]


class BatchingSession(Servable):
    """A session that runs concurrent requests with the same feeds and fetches together."""

    def __init__(
        self,
        session: Servable,
        parameters: Any = None,
        observe: Callable[[BatchStatistics], None] = lambda statistics: None,
    ) -> None:
        """Wraps a session, which `close` closes.

        Args:
            session: Runs the batches.
            parameters: A BatchingParameters message; fields that are not set have TensorFlow
                Serving's defaults.
            observe: Called in the request's thread after each request that was batched.

        Raises:
            ServingError: INVALID_ARGUMENT: the parameters are invalid.
        """
        parameters = parameters or config_files.BatchingParameters()
        self._options = batching_parameters.options(parameters)
        self._pad = parameters.pad_variable_length_inputs
        self._observe = observe
        self._session = session
        self.signatures = session.signatures
        self.on_gpu = session.on_gpu
        self._scheduler = Scheduler(
            self._process,
            threads=self._options.threads,
            max_rows=self._options.largest_batch,
            timeout=self._options.timeout_seconds,
            max_batches=self._options.max_batches,
        )

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """Runs the graph once, for this request and others that wait; see `Servable.run`.

        A request without rows, or one that cannot be batched, is run alone. All arrays of `feeds`
        have the same number of rows, and fetched arrays have a row for each.
        """
        started = time.monotonic()
        deadline = None if timeout is None else started + timeout
        rows = self.check(feeds)
        if not rows or not fetches or (self._pad and not all(a.size for a in feeds.values())):
            return self._session.run(feeds, fetches, timeout)
        key = self._key(feeds, fetches)
        tasks = self._tasks(feeds, rows, deadline)
        self._scheduler.submit(key, tasks)
        with thread_pool.waiting():
            in_time = all(task.wait() for task in tasks)
        if not in_time:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification"
            )
        arrays = _joined(tasks)
        if arrays is None:
            return self._alone(feeds, fetches, rows, deadline)
        statistics = _statistics(tasks, len(feeds), started)
        observation.add_queue_time(statistics.queue_seconds)
        self._observe(statistics)
        by_name = dict(zip(key[1], arrays, strict=True))
        return [by_name[name] for name in fetches]

    def check(self, feeds: Mapping[str, np.ndarray]) -> int:
        """Returns the number of rows of a request that may be batched.

        Raises:
            ServingError: INVALID_ARGUMENT: no batch can take it, whatever the graph is.
        """
        rows = _rows(feeds)
        if rows > self._options.largest_request:
            raise ServingError(
                _INVALID,
                f"Task size {rows} is larger than maximum input batch size "
                f"{self._options.largest_request}",
            )
        return rows

    def close(self) -> None:
        self._scheduler.close()
        self._session.close()

    def _key(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> _Key:
        """Returns the key of the queue for requests like this one."""
        if self._pad and max(array.ndim for array in feeds.values()) > _MAX_PADDED_RANK:
            raise ServingError(_INVALID, "Only tensors with rank from 1 to 6 can be padded.")
        kinds = (
            (name, array.dtype, array.ndim if self._pad else array.shape[1:])
            for name, array in sorted(feeds.items())
        )
        return tuple(kinds), tuple(sorted(set(fetches)))

    def _tasks(
        self, feeds: Mapping[str, np.ndarray], rows: int, deadline: float | None
    ) -> list[Task]:
        """Returns a request in parts that fit into a batch."""
        limit = self._options.largest_batch
        if rows <= limit:
            return [Task(feeds, rows, deadline)]
        return [
            Task(
                {name: array[first : first + limit] for name, array in feeds.items()},
                min(limit, rows - first),
                deadline,
            )
            for first in range(0, rows, limit)
        ]

    def _process(self, batch: Batch) -> None:
        """Runs a batch and gives its tasks their rows; none, if anything fails."""
        try:
            arrays = self._run(batch)
        except ServingError:  # Each request is run alone, and has its own answer.
            return
        except Exception:
            log.exception("a batch failed unexpectedly")
            return
        finally:
            batch.ended = time.monotonic()
        first = 0
        for task in batch.tasks:
            task.results = [array[first : first + task.rows] for array in arrays]
            first += task.rows

    def _run(self, batch: Batch) -> list[np.ndarray]:
        """Runs the rows of a batch.

        Raises:
            ServingError: The run failed, or an output does not have a row for each.
        """
        kinds, fetches = batch.key
        batch.size = next(
            (size for size in self._options.allowed_sizes if size >= batch.rows), batch.rows
        )
        feeds = {}
        for name, *_ in kinds:
            arrays = [task.feeds[name] for task in batch.tasks]
            if self._pad:
                longest = np.max([array.shape[1:] for array in arrays], axis=0)
                arrays = [_filled(array, longest) for array in arrays]
            if batch.size > batch.rows:
                arrays.append(np.repeat(arrays[-1][:1], batch.size - batch.rows, axis=0))
            feeds[name] = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        deadlines = [task.deadline for task in batch.tasks if task.deadline is not None]
        last = max(deadlines) if len(deadlines) == len(batch.tasks) else None
        outputs = self._session.run(feeds, fetches, _left(last))
        for output in outputs:
            _check_rows(output, batch.size)
        return outputs

    def _alone(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        rows: int,
        deadline: float | None,
    ) -> list[np.ndarray]:
        """Runs a request alone whose batch failed, possibly because of another request."""
        arrays = self._session.run(feeds, fetches, _left(deadline))
        for array in arrays:
            _check_rows(array, rows)
        return arrays


def _left(deadline: float | None) -> float | None:
    """Returns the seconds until a deadline, at least one millisecond; None without one."""
    return None if deadline is None else max(0.001, deadline - time.monotonic())


def _rows(feeds: Mapping[str, np.ndarray]) -> int:
    """Returns the number of rows of a request."""
    if not feeds:
        raise ServingError(_INVALID, "Batching Run() must have at least one input tensor")
    rows = -1
    for _, array in sorted(feeds.items()):
        if array.ndim == 0:
            raise ServingError(
                _INVALID, "Batching Run() input tensors must have at least one dimension"
            )
        if rows not in (-1, len(array)):
            raise ServingError(
                _INVALID, "Batching Run() input tensors must have equal 0th-dimension size"
            )
        rows = len(array)
    return rows


def _check_rows(output: np.ndarray, rows: int) -> None:
    if output.ndim == 0:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions"
        )
    if len(output) != rows:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors",
        )


def _filled(array: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Returns rows of these sizes, filled up with the first element of all."""
    if array.shape[1:] == tuple(sizes):
        return array
    filled = np.full((len(array), *sizes), array.flat[0], array.dtype)
    filled[tuple(map(slice, array.shape))] = array
    return filled


def _joined(tasks: Sequence[Task]) -> list[np.ndarray] | None:
    """Returns the outputs of a request, or None if a part failed."""
    results = [task.results for task in tasks if task.results is not None]
    if len(results) < len(tasks):
        return None
    if len(results) == 1:
        return results[0]
    try:
        return [np.concatenate(pieces) for pieces in zip(*results, strict=True)]
    except ValueError:  # Parts were filled up to several lengths.
        return None


def _statistics(tasks: Sequence[Task], inputs: int, started: float) -> BatchStatistics:
    batches = [task.batch for task in tasks if task.batch]
    return BatchStatistics(
        sum(task.rows for task in tasks),
        inputs,
        max(batch.size for batch in batches),
        max(0.0, min(batch.started for batch in batches) - started),
        sum(batch.ended - batch.started for batch in set(batches)),
        tuple(
            (batch.size, batch.size - batch.rows)
            for task, batch in zip(tasks, batches, strict=True)
            if batch.tasks[0] is task
        ),
    )
