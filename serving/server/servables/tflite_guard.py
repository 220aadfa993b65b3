"""The guard of TensorFlow Lite models: inputs of undeclared shapes run in the sandbox.

TensorFlow Serving resizes a model's input to whatever it gets. Another batch, or another size where
sizes are free, is safe; on other shapes, and on empty ones, many of TensorFlow Lite's kernels read
or write beyond their tensors, which may end the process or go unnoticed. So such requests never run
in the server's own process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
import numpy as np

from serving.errors import ServingError
from serving.server.servables.base import Servable
from serving.server.servables.guard import shape_text
from serving.server.servables.sandbox import AbortError, Sandbox
from serving.server.servables.tflite import TfLiteSession

_MAX_REMEMBERED = 1024
_Key = tuple[tuple[str, tuple[int, ...]], ...]


class GuardedTfLite(Servable):
    """A TensorFlow Lite model in which no request's shapes can crash the process.

    Args:
        session: The model.
        sandbox: Answers requests of other shapes than the model declares.
        file: The model's file.
    """

    def __init__(self, session: TfLiteSession, sandbox: Sandbox, file: Path) -> None:
        self.signatures = session.signatures
        self.on_gpu = session.on_gpu
        self._session = session
        self._sandbox = sandbox
        self._file = file
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
        others = [name for name, array in sorted(feeds.items()) if not self._fits(name, array)]
        if not others:
            return self._session.run(feeds, fetches, timeout)
        key = tuple(sorted((name, array.shape) for name, array in feeds.items()))
        if key not in self._fatal:
            try:
                return self._sandbox.run(self._file, feeds, fetches, timeout)
            except AbortError as aborted:
                if len(self._fatal) >= _MAX_REMEMBERED:
                    self._fatal.clear()
                self._fatal[key] = aborted.reason
        named = ", ".join(
            f"{name} has shape {shape_text(feeds[name].shape)} where the model declares "
            f"{shape_text(self._session.shapes[name])}"
            for name in others
        )
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"TensorFlow Lite aborts ({self._fatal[key]}) on these inputs: {named}",
        )

    def _fits(self, name: str, array: np.ndarray) -> bool:
        """Whether an input has the declared shape but for the batch; the session names unknown."""
        if name not in self._session.shapes:
            return True
        declared = self._session.shapes[name]
        return (
            array.ndim == len(declared)
            and array.size > 0
            and all(
                size in (-1, given)
                for size, given in zip(declared[1:], array.shape[1:], strict=True)
            )
        )

    def close(self) -> None:
        """Frees the model's memory, also in the sandbox."""
        self._sandbox.forget(self._file)
        self._session.close()
