"""What answers for a version of a model, however it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2


class Servable(Protocol):
    """A loaded version: a session, or what has been put around one.

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

        Raises:
            ServingError: With the runtime's code and text.
        """
        ...

    def close(self) -> None:
        """Frees its memory."""
        ...
