"""Server-side batching: requests that arrive at the same time are run together.

Sources: tensorflow_serving/batching/batching_session.cc, batching_util.h and
servables/tensorflow/bundle_factory_util.cc. The scheduler is TensorFlow's own. What differs from
TensorFlow Serving: the threads are those of one version of one model, where it shares one pool
among all; a batch that fails is run again request by request, so that each gets its own answer,
where it fails all; and requests whose rows differ in shape have queues of their own, where it
fails their batch.
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
from tensorflow.core.protobuf import meta_graph_pb2

from serving.errors import ServingError
from serving.server import config_files, thread_pool
from serving.server.batching import batch_function
from serving.server.batching import parameters as batching_parameters
from serving.server.batching.batch_function import BEGIN, END, PADDING, ROW, SIZE, Batched
from serving.server.monitoring import observation
from serving.server.monitoring.batch_statistics import Passage
from serving.server.servables.session import Session

log = logging.getLogger(__name__)

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
# The scheduler's text about a request that it did not take.
_FULL = "The batch scheduling queue to which this task was submitted is full"
_TIMED_OUT = ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification")
# A step that is given up ends the whole batch it is in. So it may outlive its request a little.
_GRACE_SECONDS = 1.0
# Queues are part of the graph and stay: beyond these numbers requests share one, or have none.
_MOST_FUNCTIONS = 256
_MOST_SHAPES = 16
_MOST_PADDED_RANK = 6
# Parts of split requests that wait in queues at the same time.
_MOST_PARTS = 64


@dataclass(frozen=True)
class _Queue:
    """A queue: names of the placeholders by feed, and of the tensors to fetch by fetch."""

    feeds: dict[str, str]
    fetches: dict[str, str]
    marks: str


class BatchingSession:
    """A session whose concurrent runs with the same feeds and fetches are run together.

    Attributes:
        signatures: Its signatures by key.
        on_gpu: Whether the session may use a GPU.
    """

    signatures: dict[str, meta_graph_pb2.SignatureDef]

    def __init__(
        self,
        session: Session,
        parameters: Any = None,
        observe: Callable[[Passage], None] = lambda passage: None,
    ) -> None:
        """Wraps a session, which it closes in the end.

        Args:
            session: What runs the batches.
            parameters: A BatchingParameters message; what it leaves out has TensorFlow Serving's
                defaults.
            observe: Called in the request's thread after each request that was batched.

        Raises:
            ServingError: INVALID_ARGUMENT, the parameters cannot be.
        """
        parameters = parameters or config_files.BatchingParameters()
        self._options = batching_parameters.options(parameters)
        self._pad = parameters.pad_variable_length_inputs
        self._pool = None
        if self._options.largest_request > self._options.largest_batch:
            self._pool = ThreadPoolExecutor(_MOST_PARTS, thread_name_prefix="part")
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
        """Runs the graph once, for this request and others that wait.

        A request without rows, or one that cannot be batched, is run alone.

        Args:
            feeds: Array of each tensor to feed, by the tensor's name, with equally many rows.
            fetches: Names of the tensors to return, which have a row for each row fed.
            timeout: Seconds; None for never. A request that waits in a batch that is run answers
                when the batch ends, though later than this.

        Raises:
            ServingError: With TensorFlow Serving's code and text.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        rows = _rows(feeds)
        queue = self._queue(feeds, fetches) if rows else None
        if queue is None:
            return self._session.run(feeds, fetches, timeout)
        if rows > self._options.largest_request:
            raise ServingError(
                _INVALID,
                f"Task size {rows} is larger than maximum input batch size "
                f"{self._options.largest_request}",
            )
        begun = time.time()
        limit = None if timeout is None else timeout + _GRACE_SECONDS
        try:
            *arrays, marks = self._run_parts(queue, feeds, rows, limit)
        except ServingError as error:
            text = error.message.partition("\n\t [[")[0]
            if text.startswith(_FULL):
                raise ServingError(error.code, text) from error
            return self._alone(feeds, fetches, rows, deadline)
        except ValueError:  # Parts were padded to several lengths.
            return self._alone(feeds, fetches, rows, deadline)
        passage = _passage(rows, len(feeds), begun, marks)
        observation.queued(passage.queue_seconds)
        self._observe(passage)
        by_name = dict(zip(queue.fetches, arrays, strict=True))
        return [by_name[name] for name in fetches]

    def close(self) -> None:
        """Frees the session's memory."""
        if self._pool:
            self._pool.shutdown()
        self._session.close()

    def _run_parts(
        self, queue: _Queue, feeds: Mapping[str, np.ndarray], rows: int, timeout: float | None
    ) -> list[np.ndarray]:
        """Runs a request in parts that fit into a batch, and returns outputs and marks."""
        arrays = {queue.feeds[name]: array for name, array in feeds.items()}
        fetches = [*queue.fetches.values(), queue.marks]
        most = self._options.largest_batch
        if rows <= most or self._pool is None:
            return self._session.run(arrays, fetches, timeout)
        parts = [
            self._pool.submit(
                self._session.run,
                {name: array[first : first + most] for name, array in arrays.items()},
                fetches,
                timeout,
            )
            for first in range(0, rows, most)
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
        """Runs a request whose batch failed, maybe through another request, by itself."""
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
        """Returns the queue of requests like this one, or None if there can be none."""
        if not fetches or (self._pad and not all(array.size for array in feeds.values())):
            return None
        names = tuple(sorted(feeds))
        key = (names, tuple(sorted(set(fetches))))
        if self._pad:
            ranks = tuple(feeds[name].ndim for name in names)
            if max(ranks) > _MOST_PADDED_RANK:
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
                if len(self._functions) >= _MOST_FUNCTIONS:
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
            self._queues[key, shape if self._pad or count < _MOST_SHAPES else None] = queue
            return queue

    def _function(
        self, feeds: Sequence[str], fetches: Sequence[str], pad: Sequence[int]
    ) -> Batched | None:
        """Returns the function of a queue, or None where the session must say what is wrong."""
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
    """Returns how many rows a request brings."""
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


def _passage(rows: int, inputs: int, begun: float, marks: np.ndarray) -> Passage:
    times = {mark[BEGIN]: mark[END] for mark in marks.tolist()}
    return Passage(
        rows,
        inputs,
        int(marks[:, SIZE].max()),
        max(0.0, min(times) - begun),
        sum(end - begin for begin, end in times.items()),
        tuple((int(mark[SIZE]), int(mark[PADDING])) for mark in marks.tolist() if mark[ROW] == 0),
    )
