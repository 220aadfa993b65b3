"""Keeps requests away from the server's process that might end it.

TensorFlow Serving takes tensors of any shape, and mostly an op refuses what does not fit. But some
kernels abort: oneDNN's convolutions do when they are fed another rank than they were built for.
The contract's leniency is kept by trying requests of unusual shapes in another process first.

A shape may also fit and be fatal: where height and width are free, oneDNN's max pooling divides by
zero on an image that is smaller than the window. So images of free size are usual only if they are
at least as large as some that went well.
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
_MOST_SMALLEST = 16
_Key = tuple[tuple[str, ...], tuple[tuple[str, str, tuple[int, ...]], ...]]


class GuardedSession:
    """A session in which no request's shapes can end the process.

    A request whose tensors have a declared shape and at least one element, and images of free size
    no smaller than others before, runs at once. Any other runs in the sandbox, whose answer is the
    answer. After a good one, requests of the same shapes run in this process; after one that ended
    the sandbox, they are refused. Where the session uses a GPU, which the sandbox has not, a good
    answer there proves nothing: unusual requests are always answered by the sandbox.

    Attributes:
        signatures: The session's signatures by key.
        on_gpu: Whether the session may use a GPU.

    Args:
        session: What the requests are for.
        sandbox: Where unusual ones are tried first.
        path: The SavedModel of the session.
        remembered: How many kinds of unusual requests are remembered.
    """

    signatures: dict[str, meta_graph_pb2.SignatureDef]

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
        # What became of each kind: None is well, a text why it is refused. The latest use last.
        self._tried: dict[_Key, str | None] = {}
        self._lock = threading.Lock()

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """Runs the graph once, as `Session.run` does.

        Raises:
            ServingError: With the runtime's code and text; INVALID_ARGUMENT also where the
                runtime would have ended the process.
        """
        for name, array in feeds.items():
            if not _fits(array.shape, self._declared.get(name, ())):
                return self._run_unusual(feeds, fetches, timeout)
        # The kernel that small images end is one of the processor's.
        if self._images and not self.on_gpu and self._smaller_than_before(feeds, fetches):
            arrays = self._run_unusual(feeds, fetches, timeout)
            self._remember_smallest(feeds, fetches)
            return arrays
        return self._session.run(feeds, fetches, timeout)

    def close(self) -> None:
        """Frees the session's memory, here and in the sandbox."""
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
            refusal = self._tried.pop(key, None)
            if known:
                self._tried[key] = refusal
        if refusal is not None:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, refusal)
        if known:
            return self._session.run(feeds, fetches, timeout)
        try:
            arrays = self._sandbox.run(self._path, feeds, fetches, timeout)
        except AbortError as aborted:
            refusal = self._refusal(feeds, aborted.reason)
            self._remember(key, refusal)
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, refusal) from aborted
        # An error is no proof: an op may have failed before a worse one was reached.
        if not self.on_gpu:
            self._remember(key, None)
        return arrays

    def _sizes(self, feeds: Mapping[str, np.ndarray]) -> tuple[int, ...]:
        """Returns the sizes of all images of free size, without those of the batch."""
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
            self._smallest[key] = [*others, sizes][-_MOST_SMALLEST:]

    def _remember(self, key: _Key, refusal: str | None) -> None:
        with self._lock:
            self._tried[key] = refusal
            while len(self._tried) > self._remembered:
                del self._tried[next(iter(self._tried))]

    def _refusal(self, feeds: Mapping[str, np.ndarray], reason: str) -> str:
        """Returns which inputs are not as the signature declares, in a sentence."""
        shapes = {name: array.shape for name, array in sorted(feeds.items())}
        unlike = {
            name: shape
            for name, shape in shapes.items()
            if not _fits(shape, self._declared.get(name, ()))
        }
        named = [
            f"{self._alias(name)} has shape {_shape(shape)} where the signature declares "
            + (" or ".join(map(_shape, self._declared.get(name, ()))) or "none")
            for name, shape in (unlike or shapes).items()
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
    """Returns the shapes that each tensor may have, -1 for any size.

    An unknown rank declares nothing: every shape is unusual then.
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
    """Returns the tensors with a free size beside the batch's, if they have an image's rank."""
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
    """Whether a shape is one of those declared, and has no empty dimension."""
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
