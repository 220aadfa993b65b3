"""Predictions of a split, and their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Scores = dict[str, float]

_MAX_BYTES = 64 << 20


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

    def write(self, folder: Path) -> None:
        """Writes the numbers of examples and predictions as `folder`/test.npz, where they fit.

        Columns of the examples are `examples.NAME`, of predictions `predicted.NAME`. Texts are left
        out, and so is what is larger than 64 MiB together with the smaller columns before it;
        `left_out.txt` has the names.
        """
        folder.mkdir()
        groups = {"examples": self.examples, "predicted": self.predicted}
        columns = {
            f"{group}.{name}": column
            for group, found in groups.items()
            for name, column in found.items()
        }
        kept: dict[str, np.ndarray] = {}
        for name, column in sorted(columns.items(), key=lambda each: each[1].nbytes):
            size = sum(each.nbytes for each in kept.values()) + column.nbytes
            if column.dtype.kind in "biuf" and size <= _MAX_BYTES:
                kept[name] = column
        np.savez_compressed(folder / "test.npz", **kept)  # type: ignore[arg-type]
        if left_out := sorted(columns.keys() - kept.keys()):
            (folder / "left_out.txt").write_text("".join(f"{name}\n" for name in left_out))
