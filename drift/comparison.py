"""Comparison of quantities with a reference.

A quantity has drifted if its population stability index is beyond .2, and a test says that chance
does not explain it: Kolmogorov and Smirnov's for numbers, chi-squared for categories, at a level of
.01 that all quantities share (Bonferroni). The index alone is noise in small samples, and a test
alone finds in large ones what nobody minds.

The index is the sum over bins of (p - q) ln(p / q), for the shares p and q of both samples
(Siddiqi, "Credit Risk Scorecards", 2006). Bins of numbers are the deciles of the reference and what
lies outside of its range; half a count is added to each bin, so that none is empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from drift.quantities import Values
from drift.reference import Profile

MAX_INDEX = 0.2
LEVEL = 0.01
# Fewer examples say nothing.
MIN_EXAMPLES = 100

Verdict = Literal["drift", "slight", "stable", "too few"]


@dataclass(frozen=True)
class Compared:
    """A quantity of requests compared with the reference.

    Attributes:
        name: The quantity.
        reference: Its sample in the reference, float64 [n], or str [n] for a category.
        found: Its values in the requests, of the same kind.
        index: The population stability index.
        p: The test's p-value, multiplied by the number of quantities; at most 1.
        verdict: "drift", or "slight" if only the test finds a difference.
    """

    name: str
    reference: np.ndarray
    found: np.ndarray
    index: float
    p: float
    verdict: Verdict


def compare(reference: Profile, values: Values) -> list[Compared]:
    """Compares all quantities that the reference and the requests have."""
    found = [
        _numbers(name, sample, values[name])
        for name, sample in reference.numbers.items()
        if name in values and values[name].dtype != object
    ]
    found += [
        _categories(name, counts, values[name])
        for name, counts in reference.categories.items()
        if name in values and values[name].dtype == object
    ]
    corrected = (replace(each, p=min(1.0, each.p * len(found))) for each in found)
    return [replace(each, verdict=_verdict(each)) for each in corrected]


def population_stability(reference: np.ndarray, found: np.ndarray) -> float:
    """Returns the index of two counts, int [bins] each."""
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (reference, found))
    return float(np.sum((p - q) * np.log(p / q)))


def shares(one: Compared) -> dict[str, tuple[float, float]]:
    """Returns the share of each category in the reference and in the requests."""
    sides = [Counter(side.tolist()) for side in (one.reference, one.found)]
    names = sorted({*sides[0], *sides[1]}, key=lambda name: (-sides[0][name], name))
    return {
        name: (sides[0][name] / max(1, len(one.reference)), sides[1][name] / max(1, len(one.found)))
        for name in names
    }


def _numbers(name: str, sample: np.ndarray, values: np.ndarray) -> Compared:
    values = values[np.isfinite(values)]
    if not len(values):
        return Compared(name, sample, values, 0.0, 1.0, "too few")
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, 11), method="nearest"))
    edges = np.append(edges, np.nextafter(edges[-1], np.inf))  # The largest is within the range.
    counts = [
        np.bincount(np.searchsorted(edges, x, side="right"), minlength=len(edges) + 1)
        for x in (sample, values)
    ]
    test = stats.ks_2samp(sample, values)
    return Compared(name, sample, values, population_stability(*counts), test.pvalue, "stable")


def _categories(name: str, counts: Mapping[str, int], values: np.ndarray) -> Compared:
    own = Counter(values.tolist())
    names = sorted({*counts, *own})
    table = np.array([[counts.get(each, 0) for each in names], [own[each] for each in names]])
    p = 1.0
    if len(names) > 1 and table.sum(1).all():
        p = float(stats.chi2_contingency(table).pvalue)
    sample = np.repeat(np.array(list(counts), object), list(counts.values()))
    return Compared(name, sample, values, population_stability(*table), p, "stable")


def _verdict(one: Compared) -> Verdict:
    if min(len(one.reference), len(one.found)) < MIN_EXAMPLES:
        return "too few"
    if one.p >= LEVEL:
        return "stable"
    return "drift" if one.index > MAX_INDEX else "slight"
