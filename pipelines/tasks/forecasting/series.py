"""A series: its steps in time order, cut into three periods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


@dataclass(frozen=True, eq=False)
class Series:
    """A series.

    Attributes:
        name: Its column, or its value in the column of groups; "" for a single one.
        values: float64 [steps], in its own unit.
        times: [steps], dates or numbers.
        ends: Where each split ends; it begins where the one before ends.
        covariates: What is known of the steps in advance, float64 [steps, columns]; empty without
            columns.
        unit: What values are measured in, as figures say it; "" where it is not known.
        max_windows: Maximum number of windows of each split, evenly spread over it; 0 for all.
    """

    name: str
    values: np.ndarray
    times: np.ndarray
    ends: Mapping[str, int]
    max_windows: int = 0
    covariates: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    unit: str = ""

    def known(self) -> np.ndarray:
        """Returns the values of train, float64 [steps]."""
        return self.values[: self.ends["train"]]

    def scale(self, season: int) -> float:
        """Returns the mean absolute error of the seasonal naive forecast within train."""
        known = self.known()
        return float(np.abs(known[season:] - known[:-season]).mean())

    def origins(self, split: str, history: int, horizon: int) -> np.ndarray:
        """Returns the first step, int [windows], of each horizon within a split."""
        before = [end for end in self.ends.values() if end < self.ends[split]]
        every = np.arange(max([history, *before]), self.ends[split] - horizon + 1)
        if not self.max_windows or len(every) <= self.max_windows:
            return every
        return every[np.linspace(0, len(every) - 1, self.max_windows).astype(int)]

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Returns the steps from each start on, float64 [windows, length]."""
        return sliding_window_view(self.values, length)[starts]
