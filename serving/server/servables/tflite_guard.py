"""The guard of TensorFlow Lite models: inputs of undeclared rank run in the sandbox.

TensorFlow Serving resizes a model's input to whatever it gets. Another size is safe; on another
rank many of TensorFlow Lite's kernels read or write beyond their tensors, which may end the process
or go unnoticed. So such requests never run in the server's own process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
import numpy as np

from serving.errors import ServingError
from serving.server.servables.base import Servable
from serving.server.servables.sandbox import AbortError, Sandbox

_MAX_REMEMBERED = 1024
_Key = tuple[tuple[str, tuple[int, ...]], ...]


class GuardedTfLite(Servable):
    """A TensorFlow Lite model in which no request's rank can crash the process.

    Args:
        session: The model.
        sandbox: Answers requests of other ranks than the signatures declare.
        file: The model's file.
    """

    def __init__(self, session: Servable, sandbox: Sandbox, file: Path) -> None:
        self.signatures = session.signatures
        self.on_gpu = session.on_gpu
        self._session = session
        self._sandbox = sandbox
        self._file = file
        self._ranks = {
            info.name: len(info.tensor_shape.dim)
            for signature in session.signatures.values()
            for info in signature.inputs.values()
        }
        # How the sandbox ended, by the shapes that ended it.
        self._fatal: dict[_Key, str] = {}

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """See `Servable.run`.

        Raises:
            ServingError: INVALID_ARGUMENT also where the interpreter would have ended the process.
        """
        if all(array.ndim == self._ranks.get(name) for name, array in feeds.items()):
            return self._session.run(feeds, fetches, timeout)
        key = tuple(sorted((name, array.shape) for name, array in feeds.items()))
        if key not in self._fatal:
            try:
                return self._sandbox.run(self._file, feeds, fetches, timeout)
            except AbortError as aborted:
                if len(self._fatal) >= _MAX_REMEMBERED:
                    self._fatal.clear()
                self._fatal[key] = aborted.reason
        others = ", ".join(
            f"{name} has {array.ndim} dimensions, not {self._ranks.get(name)}"
            for name, array in sorted(feeds.items())
            if array.ndim != self._ranks.get(name)
        )
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"TensorFlow Lite aborts ({self._fatal[key]}) on these inputs: {others}",
        )

    def close(self) -> None:
        """Frees the model's memory, also in the sandbox."""
        self._sandbox.forget(self._file)
        self._session.close()
