"""Intervals of scores from their values on resamples: the percentile bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95 % interval of one model's score less the other's, by the paired bootstrap.

    Both are scored on the same resamples, so what makes a resample easy for both cancels out
    (Koehn, "Statistical Significance Tests for Machine Translation Evaluation", 2004).

    Args:
        one: The `resampled` of one model.
        other: That of the other model; if one has more values, those are left out.

    Returns:
        The interval; None if there are no values.
    """
    return interval([first - second for first, second in zip(one, other, strict=False)])


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95 % interval of a score; None if there are no values, or none are numbers."""
    if np.isnan(values).all():  # Or there are none.
        return None
    low, high = np.nanpercentile(values, (2.5, 97.5)).tolist()
    return low, high
