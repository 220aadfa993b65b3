"""The interface of a loaded model version, whatever runs it.

Counterpart: `Servable` and `tensorflow::Session` as TensorFlow Serving's handlers use it
(tensorflow_serving/servables/tensorflow/servable.h).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2


class Servable(Protocol):
    """A loaded model version: a session, or a wrapper around one.

    Attributes:
        signatures: Its signatures by key.
        on_gpu: Whether it may use a GPU.
    """

    signatures: dict[str, meta_graph_pb2.SignatureDef]
    on_gpu: bool

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """Runs the graph once.

        Args:
            feeds: Array of each tensor to feed, by the tensor's name.
            fetches: Names of the tensors to return.
            timeout: Seconds after which the runtime gives up; None, or decades, for never.

        Returns:
            An array for each of `fetches`, in their order.

        Raises:
            ServingError: With the runtime's code and text.
        """
        ...

    def close(self) -> None:
        """Frees its memory."""
        ...
