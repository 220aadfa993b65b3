"""What answers for a version, whatever kind of model it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2


class ServingSession(Protocol):
    """A loaded model: a SavedModel in a session, or a TensorFlow Lite model in interpreters.

    Attributes:
        signatures: Its signatures by key.
    """

    signatures: dict[str, meta_graph_pb2.SignatureDef]

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """Computes the tensors of these names from those, within so many seconds.

        Raises:
            ServingError: With TensorFlow Serving's code and text.
        """
        ...

    def close(self) -> None:
        """Frees the memory."""
        ...
