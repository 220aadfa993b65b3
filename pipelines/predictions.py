"""Predictions of a split, and their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Scores = dict[str, float]


@dataclass(frozen=True)
class Predictions:
    """The examples of a split, in its order, with what a model or a baseline predicts for them.

    Attributes:
        examples: Arrays [examples, ...] by name: "target", or the targets' own names; "weight"
            where some positions are padding; and the raw columns of the data set. A raw column
            "block", int [examples], numbers the examples that belong together.
        predicted: Arrays [examples, ...] by name, as in a served model's response.
    """

    examples: Mapping[str, np.ndarray]
    predicted: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.examples.values())))

    def take(self, indices: np.ndarray) -> Predictions:
        """Returns the predictions at `indices`, int [n], which may repeat."""
        return Predictions(
            {name: column[indices] for name, column in self.examples.items()},
            {name: column[indices] for name, column in self.predicted.items()},
        )
