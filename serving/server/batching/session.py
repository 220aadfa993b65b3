"""Server-side batching: runs requests that arrive at the same time together.

Counterparts: tensorflow_serving/batching/batching_session.cc, batching_util.h and
servables/tensorflow/bundle_factory_util.cc. The scheduler is TensorFlow's own. Differences to
TensorFlow Serving: each version of a model has threads of its own, not one pool shared by all; a
batch that fails is run again request by request, so that each gets its own answer; and requests
whose rows differ in shape have queues of their own, instead of failing their batch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from serving.errors import ServingError
from serving.server import config_files, thread_pool
from serving.server.batching import batch_function
from serving.server.batching import parameters as batching_parameters
from serving.server.batching.batch_function import END, PADDING, ROW, SIZE, START, Batched
from serving.server.monitoring import observation
from serving.server.monitoring.batch_statistics import BatchStatistics
from serving.server.servables.base import Servable
from serving.server.servables.session import Session

log = logging.getLogger(__name__)

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
# The scheduler's text for a request that it did not take.
_FULL = "The batch scheduling queue to which this task was submitted is full"
_TIMED_OUT = ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification")
# A run that is given up ends its whole batch. So it may take a little longer than its deadline.
_GRACE_SECONDS = 1.0
# Queues are part of the graph for ever: beyond these numbers requests share one, or have none.
_MAX_FUNCTIONS = 256
_MAX_SHAPES = 16
_MAX_PADDED_RANK = 6
# Parts of split requests that wait in queues at the same time.
_MAX_PARTS = 64


@dataclass(frozen=True)
class _Queue:
    """A queue in the graph.

    Attributes:
        feeds: Name of the placeholder for each feed.
        fetches: Name of the output for each fetch.
        report: Name of the output with each row's size and times of the batch.
    """

    feeds: dict[str, str]
    fetches: dict[str, str]
    report: str


class BatchingSession(Servable):
    """A session that runs concurrent requests with the same feeds and fetches together."""

    def __init__(
        self,
        session: Session,
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
        self._pool = None
        if self._options.largest_request > self._options.largest_batch:
            self._pool = ThreadPoolExecutor(_MAX_PARTS, thread_name_prefix="part")
        self._observe = observe
        self._session = session
        self.signatures = session.signatures
        self.on_gpu = session.on_gpu
        self._lock = threading.Lock()
        self._functions: dict[tuple, Batched | None] = {}
        self._queues: dict[tuple, _Queue] = {}
        self._shapes: dict[tuple, int] = {}

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """Runs the graph once, for this request and others that wait; see `Servable.run`.

        A request without rows, or one that cannot be batched, is run alone. All arrays of `feeds`
        have the same number of rows, and fetched arrays have a row for each. A request whose
        batch is running when its time is over is answered when the batch ends.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        rows = self.check(feeds)
        queue = self._queue(feeds, fetches) if rows else None
        if queue is None:
            return self._session.run(feeds, fetches, timeout)
        started = time.time()
        limit = None if timeout is None else timeout + _GRACE_SECONDS
        try:
            *arrays, report = self._run_parts(queue, feeds, rows, limit)
        except ServingError as error:
            text = error.message.partition("\n\t [[")[0]
            if text.startswith(_FULL):
                raise ServingError(error.code, text) from error
            return self._alone(feeds, fetches, rows, deadline)
        except ValueError:  # Parts were padded to several lengths.
            return self._alone(feeds, fetches, rows, deadline)
        statistics = _statistics(rows, len(feeds), started, report)
        observation.add_queue_time(statistics.queue_seconds)
        self._observe(statistics)
        by_name = dict(zip(queue.fetches, arrays, strict=True))
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
        if self._pool:
            self._pool.shutdown()
        self._session.close()

    def _run_parts(
        self, queue: _Queue, feeds: Mapping[str, np.ndarray], rows: int, timeout: float | None
    ) -> list[np.ndarray]:
        """Runs a request in parts that fit into a batch; returns the outputs and the report."""
        arrays = {queue.feeds[name]: array for name, array in feeds.items()}
        fetches = [*queue.fetches.values(), queue.report]
        limit = self._options.largest_batch
        if rows <= limit or self._pool is None:
            return self._session.run(arrays, fetches, timeout)
        parts = [
            self._pool.submit(
                self._session.run,
                {name: array[first : first + limit] for name, array in arrays.items()},
                fetches,
                timeout,
            )
            for first in range(0, rows, limit)
        ]
        with thread_pool.waiting():
            wait(parts)
        results = [part.result() for part in parts]
        return [np.concatenate(pieces) for pieces in zip(*results, strict=True)]

    def _alone(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        rows: int,
        deadline: float | None,
    ) -> list[np.ndarray]:
        """Runs a request alone whose batch failed, possibly because of another request."""
        timeout = None if deadline is None else deadline - time.monotonic()
        if timeout is not None and timeout <= 0:
            raise ServingError(_TIMED_OUT.code, _TIMED_OUT.message)
        arrays = self._session.run(feeds, fetches, timeout)
        for array in arrays:
            if array.ndim == 0:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions"
                )
            if len(array) != rows:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                    "dimension sizes of the input tensors",
                )
        return arrays

    def _queue(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> _Queue | None:
        """Returns the queue for requests like this one, or None if it cannot be batched."""
        if not fetches or (self._pad and not all(array.size for array in feeds.values())):
            return None
        names = tuple(sorted(feeds))
        key = (names, tuple(sorted(set(fetches))))
        if self._pad:
            ranks = tuple(feeds[name].ndim for name in names)
            if max(ranks) > _MAX_PADDED_RANK:
                raise ServingError(_INVALID, "Only tensors with rank from 1 to 6 can be padded.")
            shape: tuple = ranks
        else:
            shape = tuple(feeds[name].shape[1:] for name in names)
        return self._known(key, shape) or self._new_queue(key, shape)

    def _known(self, key: tuple, shape: tuple) -> _Queue | None:
        return self._queues.get((key, shape)) or self._queues.get((key, None))

    def _new_queue(
        self, key: tuple[tuple[str, ...], tuple[str, ...]], shape: tuple
    ) -> _Queue | None:
        with self._lock:
            if queue := self._known(key, shape):
                return queue
            pad = shape if self._pad else ()
            if (key, pad) not in self._functions:
                if len(self._functions) >= _MAX_FUNCTIONS:
                    return None
                self._functions[key, pad] = self._function(*key, pad)
            function = self._functions[key, pad]
            if function is None:
                return None
            count = self._shapes[key] = self._shapes.get(key, 0) + 1
            outputs = batch_function.add_queue(
                self._session.graph,
                function,
                f"queue_{len(self._queues)}",
                self._options.attributes,
            )
            self._session.extend([*function.placeholders, *outputs])
            names, fetches = key
            queue = _Queue(
                {n: t.name for n, t in zip(names, function.placeholders, strict=True)},
                {n: t.name for n, t in zip(fetches, outputs[:-1], strict=True)},
                outputs[-1].name,
            )
            self._queues[key, shape if self._pad or count < _MAX_SHAPES else None] = queue
            return queue

    def _function(
        self, feeds: Sequence[str], fetches: Sequence[str], pad: Sequence[int]
    ) -> Batched | None:
        """Returns the function of a queue, or None if the session itself must report the error."""
        fed, fetched = (
            [tensor for name in names if (tensor := self._session.tensor(name)) is not None]
            for names in (feeds, fetches)
        )
        if len(fed) < len(feeds) or len(fetched) < len(fetches):
            return None
        if {tensor.name for tensor in fed} & {tensor.name for tensor in fetched}:
            return None
        try:
            return batch_function.make(
                self._session.graph,
                fed,
                fetched,
                f"batched_{len(self._functions)}",
                pad=pad,
                count_padding=bool(self._options.attributes["allowed_batch_sizes"]),
            )
        except ValueError as error:
            log.warning("requests for %s are not batched: %s", ", ".join(fetches), error)
            return None


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


def _statistics(rows: int, inputs: int, started: float, report: np.ndarray) -> BatchStatistics:
    times = {row[START]: row[END] for row in report.tolist()}
    return BatchStatistics(
        rows,
        inputs,
        int(report[:, SIZE].max()),
        max(0.0, min(times) - started),
        sum(end - start for start, end in times.items()),
        tuple((int(row[SIZE]), int(row[PADDING])) for row in report.tolist() if row[ROW] == 0),
    )
