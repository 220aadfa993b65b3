"""Standardization of windows, in float64: what the network reads and answers has no unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# A history may be constant: its deviation is at least this part of the series' scale.
_LEAST = 1e-3


@dataclass(frozen=True)
class Scaling:
    """A mean and a standard deviation for each history.

    float32 has 7 digits. Latitudes in millionths of a degree, or a swing of 3 on top of a billion,
    are lost in it, so that level and deviation are taken off in float64 first.

    Attributes:
        level: The mean of all histories, or None for each its own.
        deviation: The deviation of all histories, or the least that one of its own may be.
    """

    level: float | None
    deviation: float

    def of(self, histories: Any, xp: Any) -> tuple[Any, Any]:
        """Returns level and deviation of histories.

        Args:
            histories: float64 [batch, history], in the series' own unit.
            xp: The array library they belong to, `numpy` or `tensorflow.experimental.numpy`.

        Returns:
            Two arrays, float64 [batch].
        """
        if self.level is None:
            level = xp.mean(histories, axis=1)
            return level, xp.maximum(xp.std(histories, axis=1), self.deviation)
        zeros = xp.zeros_like(histories[:, 0])
        return zeros + self.level, zeros + self.deviation


def by_series(known: Any) -> Scaling:
    """Returns the standardization with mean and deviation of a training split, float64 [steps].

    The network sees the level: high values will come down.
    """
    return Scaling(float(known.mean()), float(known.std()))


def by_window(scale: float) -> Scaling:
    """Returns the standardization with mean and deviation of each history.

    Kim et al., "Reversible Instance Normalization for Accurate Time-Series Forecasting against
    Distribution Shift", 2022, without its learned affine map: where level or spread drift beyond
    the range of the training split, or differ from series to series, windows still look alike.

    Args:
        scale: The least error of a seasonal naive forecast in train, of all series.
    """
    return Scaling(None, _LEAST * scale)


def standardized(windows: Any, level: Any, deviation: Any) -> Any:
    """Returns windows, float64 [batch, steps], in units of the deviation from the level."""
    return (windows - level[:, None]) / deviation[:, None]


def restored(quantiles: Any, level: Any, deviation: Any) -> Any:
    """Returns quantiles, float64 [batch, horizon, levels], in the series' own unit."""
    return quantiles * deviation[:, None, None] + level[:, None, None]
