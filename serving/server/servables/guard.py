"""The guard: keeps requests that might crash the server's process away from it.

TensorFlow Serving accepts tensors of any shape; usually an op rejects a shape that does not fit.
But some kernels abort: oneDNN's convolutions do when they get another rank than they were built
for. The guard keeps the contract's leniency by trying requests of undeclared shapes in the sandbox
first.

What fits a signature runs at once, with two exceptions, as it may be fatal too. Where sizes are
free, oneDNN's max pooling divides by zero on an input smaller than its window: in graphs with such
an op, small inputs are tried first, until as small ones went well. And what was running when a
process of this server crashed is tried first from then on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving.errors import ServingError
from serving.server import thread_pool
from serving.server.servables.base import Servable
from serving.server.servables.sandbox import AbortError, Sandbox
from serving.server.suspects import Suspects

# Inputs of free size are small below this; the windows of known networks are smaller.
_SMALL = 128
_MAX_SMALLEST = 16
_MAX_RANK = 8
_Key = tuple[tuple[str, ...], tuple[tuple[str, np.dtype, tuple[int, ...]], ...]]


class GuardedSession(Servable):
    """A session in which no request's shapes can crash the process more than once.

    A request that fits the signature runs at once, any other one first in the sandbox. After a good
    answer there, requests of the same shapes run in this process; after a crash of the sandbox,
    they are rejected. Where the session uses a GPU, which the sandbox does not have, a good answer
    of the sandbox says nothing about the session: it answers such requests.

    Args:
        session: The session to guard.
        sandbox: Tries requests.
        path: The SavedModel of the session.
        suspects: What was running when a process crashed.
        pools: Whether the graph has max pooling that needs a minimum size.
        check: Raises ServingError for a request that the session refuses whatever the graph is.
        remembered: Number of kinds of requests whose outcome is remembered.
    """

    def __init__(
        self,
        session: Servable,
        sandbox: Sandbox,
        path: Path,
        suspects: Suspects,
        *,
        pools: bool = False,
        check: Callable[[Mapping[str, np.ndarray]], object] = lambda feeds: None,
        remembered: int = 4096,
    ) -> None:
        self.signatures = session.signatures
        self.on_gpu = session.on_gpu
        self._session = session
        self._sandbox = sandbox
        self._path = path
        self._suspects = suspects
        self._check = check
        self._declared = _declared(session.signatures)
        # The kernel that small inputs crash is a CPU kernel.
        tried = self._declared if pools and not session.on_gpu else {}
        self._pooled = {name: _free_axes(shapes) for name, shapes in tried.items()}
        self._smallest: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
        self._remembered = remembered
        # By kind of request, the oldest first: an empty text if it ran well here, else how the
        # sandbox ended. Kinds that erred are not known: an op may have failed before a fatal one.
        self._known: dict[_Key, str] = {}
        self._trials: dict[_Key, threading.Event] = {}
        self._lock = threading.Lock()

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """See `Servable.run`.

        Raises:
            ServingError: INVALID_ARGUMENT also where the runtime would have ended the process.
        """
        key = _key(feeds, fetches)
        if self._known.get(key) == "":
            return self._session.run(feeds, fetches, timeout)
        return self._run_new(key, feeds, fetches, timeout)

    def close(self) -> None:
        """Frees the session's memory, also in the sandbox."""
        self._sandbox.forget(self._path)
        self._session.close()

    def _run_new(
        self,
        key: _Key,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None,
    ) -> list[np.ndarray]:
        deadline = None if timeout is None else time.monotonic() + timeout
        kind = f"{self._path} {key}"
        if self._fits(feeds) and not self._is_small(feeds, fetches) and kind not in self._suspects:
            with self._suspects.running(kind):
                arrays = self._session.run(feeds, fetches, timeout)
            self._remember(key, "")
            return arrays
        self._check(feeds)
        if self.on_gpu:
            return self._try(key, feeds, fetches, deadline)
        with self._trial(key, deadline):
            if self._known.get(key) != "":
                self._try(key, feeds, fetches, deadline)
                self._remember(key, "")
                self._remember_smallest(feeds, fetches)
        return self._session.run(feeds, fetches, _left(deadline))

    @contextmanager
    def _trial(self, key: _Key, deadline: float | None) -> Iterator[None]:
        """Waits while another thread tries a request of the same kind; others wait for this one.

        After that wait it does not matter who is first: the outcome is known, or each has its own.
        """
        mine = threading.Event()
        with self._lock:
            trial = self._trials.setdefault(key, mine)
        if trial is not mine:
            with thread_pool.parked():
                trial.wait(_left(deadline))
        try:
            yield
        finally:
            if trial is mine:
                del self._trials[key]
                mine.set()

    def _try(
        self,
        key: _Key,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None,
    ) -> list[np.ndarray]:
        if reason := self._known.get(key):
            raise self._aborts(feeds, reason)
        try:
            return self._sandbox.run(self._path, feeds, fetches, _left(deadline))
        except AbortError as aborted:
            self._remember(key, aborted.reason)
            raise self._aborts(feeds, aborted.reason) from aborted

    def _fits(self, feeds: Mapping[str, np.ndarray]) -> bool:
        return all(
            _fits(array.shape, self._declared.get(name, ())) for name, array in feeds.items()
        )

    def _is_small(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> bool:
        """Whether inputs are smaller, where their size is free, than any that went well."""
        sizes = self._free_sizes(feeds)
        return min(sizes, default=_SMALL) < _SMALL and not any(
            _covers(sizes, known) for known in self._smallest.get(tuple(fetches), ())
        )

    def _free_sizes(self, feeds: Mapping[str, np.ndarray]) -> tuple[int, ...]:
        return tuple(
            feeds[name].shape[axis]
            for name, axes in self._pooled.items()
            if name in feeds
            for axis in axes
            if axis < feeds[name].ndim
        )

    def _remember_smallest(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> None:
        sizes, key = self._free_sizes(feeds), tuple(fetches)
        if not sizes or not self._fits(feeds):
            return
        with self._lock:
            others = [known for known in self._smallest.get(key, []) if not _covers(known, sizes)]
            self._smallest[key] = [*others, sizes][-_MAX_SMALLEST:]

    def _remember(self, key: _Key, reason: str) -> None:
        with self._lock:
            self._known[key] = reason
            if len(self._known) > self._remembered:
                del self._known[next(iter(self._known))]

    def _aborts(self, feeds: Mapping[str, np.ndarray], reason: str) -> ServingError:
        """Returns an error that says which inputs differ from the signature's declaration."""
        shapes = {name: array.shape for name, array in sorted(feeds.items())}
        undeclared = {
            name: shape
            for name, shape in shapes.items()
            if not _fits(shape, self._declared.get(name, ()))
        }
        named = [
            f"{self._alias(name)} has shape {shape_text(shape)} where the signature declares "
            + (" or ".join(map(shape_text, self._declared.get(name, ()))) or "none")
            for name, shape in (undeclared or shapes).items()
        ]
        text = f"TensorFlow aborts ({reason}) on these inputs: {'; '.join(named)}"
        return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)

    def _alias(self, tensor: str) -> str:
        for signature in self.signatures.values():
            for alias, info in signature.inputs.items():
                if info.name == tensor:
                    return alias
        return tensor


def _declared(
    signatures: Mapping[str, meta_graph_pb2.SignatureDef],
) -> dict[str, tuple[tuple[int, ...] | None, ...]]:
    """Returns the declared shapes of each input tensor: -1 for any size, None for any shape."""
    declared: dict[str, tuple[tuple[int, ...] | None, ...]] = {}
    for signature in signatures.values():
        for info in signature.inputs.values():
            unknown = info.tensor_shape.unknown_rank
            sizes = None if unknown else tuple(dim.size for dim in info.tensor_shape.dim)
            shapes = declared.get(info.name, ())
            if sizes not in shapes:
                declared[info.name] = (*shapes, sizes)
    return declared


def _free_axes(shapes: Sequence[tuple[int, ...] | None]) -> tuple[int, ...]:
    """Returns the axes, the first one excepted, of which a shape does not declare the size."""
    axes: set[int] = set()
    for shape in shapes:
        if shape is None:
            return tuple(range(1, _MAX_RANK))
        axes |= {axis for axis, size in enumerate(shape) if axis and size < 0}
    return tuple(sorted(axes))


def _covers(sizes: tuple[int, ...], others: tuple[int, ...]) -> bool:
    return len(sizes) == len(others) and all(a >= b for a, b in zip(sizes, others, strict=True))


def _fits(shape: tuple[int, ...], declared: Sequence[tuple[int, ...] | None]) -> bool:
    """Whether a shape is one of the declared shapes."""
    for sizes in declared:
        if sizes is None:
            return True
        if len(sizes) == len(shape):
            for size, wanted in zip(shape, sizes, strict=True):
                if size != wanted and wanted >= 0:
                    break
            else:
                return True
    return False


def _left(deadline: float | None) -> float | None:
    """Returns the seconds until a time of the monotonic clock; None without one."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _key(feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> _Key:
    return tuple(fetches), tuple([(n, array.dtype, array.shape) for n, array in feeds.items()])


def shape_text(sizes: Sequence[int] | None) -> str:
    """Returns a shape as error texts have it: "[2,-1]", or "any" for any shape."""
    return "any" if sizes is None else f"[{','.join(map(str, sizes))}]"
