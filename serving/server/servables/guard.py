"""The guard: keeps requests that might crash the server's process away from it.

TensorFlow Serving accepts tensors of any shape; usually an op rejects a shape that does not fit.
But some kernels abort: oneDNN's convolutions do when they get another rank than they were built
for. The guard keeps the contract's leniency by running requests of unusual shapes in the sandbox
first.

A shape that fits may also be fatal: where height and width are free, oneDNN's max pooling divides
by zero on an image that is smaller than the window. So images of free size count as usual only if
they are at least as large as some that were answered before.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving.errors import ServingError
from serving.server.servables.base import Servable
from serving.server.servables.sandbox import AbortError, Sandbox

_IMAGE_RANK = 4
_MAX_SMALLEST = 16
_Key = tuple[tuple[str, ...], tuple[tuple[str, str, tuple[int, ...]], ...]]


class GuardedSession(Servable):
    """A session in which no request's shapes can crash the process.

    A request whose tensors have a declared shape and at least one element, and whose images of free
    size are no smaller than earlier ones, runs at once. Any other request is answered by the
    sandbox. After a good answer, requests of the same shapes run in this process; after a crash of
    the sandbox, they are rejected. Where the session uses a GPU, which the sandbox does not have, a
    good answer of the sandbox says nothing about the session: it answers all unusual requests.

    Args:
        session: The session to guard.
        sandbox: Runs unusual requests.
        path: The SavedModel of the session.
        remembered: Number of kinds of unusual requests whose outcome is remembered.
    """

    def __init__(
        self, session: Servable, sandbox: Sandbox, path: Path, *, remembered: int = 1024
    ) -> None:
        self.signatures = session.signatures
        self.on_gpu = session.on_gpu
        self._session = session
        self._sandbox = sandbox
        self._path = path
        self._declared = _declared(session.signatures)
        self._images = _images(session.signatures)
        self._smallest: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
        self._remembered = remembered
        # Outcome by kind: None for a good answer, else the error message. Latest use last.
        self._tried: dict[_Key, str | None] = {}
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
        for name, array in feeds.items():
            if not _fits(array.shape, self._declared.get(name, ())):
                return self._run_unusual(feeds, fetches, timeout)
        # The kernel that small images crash is a CPU kernel.
        if self._images and not self.on_gpu and self._smaller_than_before(feeds, fetches):
            arrays = self._run_unusual(feeds, fetches, timeout)
            self._remember_smallest(feeds, fetches)
            return arrays
        return self._session.run(feeds, fetches, timeout)

    def close(self) -> None:
        """Frees the session's memory, also in the sandbox."""
        self._sandbox.forget(self._path)
        self._session.close()

    def _run_unusual(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None,
    ) -> list[np.ndarray]:
        key = _key(feeds, fetches)
        with self._lock:
            known = key in self._tried
            error_message = self._tried.pop(key, None)
            if known:
                self._tried[key] = error_message
        if error_message is not None:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, error_message)
        if known:
            return self._session.run(feeds, fetches, timeout)
        try:
            arrays = self._sandbox.run(self._path, feeds, fetches, timeout)
        except AbortError as aborted:
            error_message = self._error_message(feeds, aborted.reason)
            self._remember(key, error_message)
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, error_message) from aborted
        # An error is not remembered: an op may have failed before a fatal one was reached.
        if not self.on_gpu:
            self._remember(key, None)
        return arrays

    def _sizes(self, feeds: Mapping[str, np.ndarray]) -> tuple[int, ...]:
        """Returns the sizes of all images of free size, without the batch dimension."""
        images = sorted(self._images.intersection(feeds))
        return tuple(size for name in images for size in feeds[name].shape[1:])

    def _smaller_than_before(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> bool:
        sizes = self._sizes(feeds)
        return bool(sizes) and not any(
            _covers(sizes, known) for known in self._smallest.get(tuple(fetches), ())
        )

    def _remember_smallest(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> None:
        sizes, key = self._sizes(feeds), tuple(fetches)
        with self._lock:
            others = [known for known in self._smallest.get(key, []) if not _covers(known, sizes)]
            self._smallest[key] = [*others, sizes][-_MAX_SMALLEST:]

    def _remember(self, key: _Key, error_message: str | None) -> None:
        with self._lock:
            self._tried[key] = error_message
            while len(self._tried) > self._remembered:
                del self._tried[next(iter(self._tried))]

    def _error_message(self, feeds: Mapping[str, np.ndarray], reason: str) -> str:
        """Returns a sentence on which inputs differ from the signature's declaration."""
        shapes = {name: array.shape for name, array in sorted(feeds.items())}
        undeclared = {
            name: shape
            for name, shape in shapes.items()
            if not _fits(shape, self._declared.get(name, ()))
        }
        named = [
            f"{self._alias(name)} has shape {_shape(shape)} where the signature declares "
            + (" or ".join(map(_shape, self._declared.get(name, ()))) or "none")
            for name, shape in (undeclared or shapes).items()
        ]
        return f"TensorFlow aborts ({reason}) on these inputs: {'; '.join(named)}"

    def _alias(self, tensor: str) -> str:
        for signature in self.signatures.values():
            for alias, info in signature.inputs.items():
                if info.name == tensor:
                    return alias
        return tensor


def _declared(
    signatures: Mapping[str, meta_graph_pb2.SignatureDef],
) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Returns the declared shapes of each input tensor, -1 for any size.

    A tensor of unknown rank declares none: every shape is unusual then.
    """
    declared: dict[str, tuple[tuple[int, ...], ...]] = {}
    for signature in signatures.values():
        for info in signature.inputs.values():
            if not info.tensor_shape.unknown_rank:
                sizes = tuple(dim.size for dim in info.tensor_shape.dim)
                shapes = declared.get(info.name, ())
                if sizes not in shapes:
                    declared[info.name] = (*shapes, sizes)
    return declared


def _images(signatures: Mapping[str, meta_graph_pb2.SignatureDef]) -> frozenset[str]:
    """Returns the input tensors of an image's rank that have a free size beside the batch's."""
    return frozenset(
        info.name
        for signature in signatures.values()
        for info in signature.inputs.values()
        if len(info.tensor_shape.dim) >= _IMAGE_RANK
        and any(dim.size < 0 for dim in info.tensor_shape.dim[1:])
    )


def _covers(sizes: tuple[int, ...], others: tuple[int, ...]) -> bool:
    return len(sizes) == len(others) and all(a >= b for a, b in zip(sizes, others, strict=True))


def _fits(shape: tuple[int, ...], declared: tuple[tuple[int, ...], ...]) -> bool:
    """Whether a shape is one of the declared shapes and has no empty dimension."""
    if 0 in shape:
        return False
    for sizes in declared:
        if len(sizes) == len(shape):
            for size, wanted in zip(shape, sizes, strict=True):
                if size != wanted and wanted >= 0:
                    break
            else:
                return True
    return False


def _key(feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> _Key:
    kinds = ((name, array.dtype.name, array.shape) for name, array in feeds.items())
    return tuple(fetches), tuple(sorted(kinds))


def _shape(sizes: Sequence[int]) -> str:
    return f"[{','.join(map(str, sizes))}]"
