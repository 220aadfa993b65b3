"""What counts as drift, and what chance may do."""

from __future__ import annotations

import numpy as np
import pytest

from drift.comparison import compare, population_stability, shares
from drift.reference import Profile, profile


def verdict(reference: np.ndarray, found: np.ndarray) -> str:
    [one] = compare(profile({"x": reference}), {"x": found})
    return one.verdict


def normal(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, count)


def classes(count: int, *weights: float, seed: int = 0) -> np.ndarray:
    names = np.array(["a", "b", "c"][: len(weights)], object)
    return np.random.default_rng(seed).choice(names, count, p=weights)


def test_the_index_is_the_sum_over_bins():
    expected = 40 / 101 * (np.log(60.5 / 20.5) + np.log(80.5 / 40.5))
    found = population_stability(np.array([60, 40]), np.array([20, 80]))
    assert found == pytest.approx(expected)
    assert population_stability(np.array([5, 9]), np.array([5, 9])) == 0


def test_samples_of_the_same_kind_seldom_seem_to_have_drifted():
    """The level is .01, so that 2 of 200 are expected."""
    found = [verdict(normal(300, seed), normal(200, seed + 1000)) for seed in range(200)]
    assert found.count("drift") <= 4


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (normal(500, 1, 1.0), "drift"),
        (normal(5000, 1, 0.2), "slight"),
        (3 * normal(500, 1), "drift"),
        (normal(500, 1, 100.0), "drift"),
        (normal(99, 1, 100.0), "too few"),
        (np.full(500, np.nan), "too few"),
    ],
)
def test_numbers(found, expected):
    assert verdict(normal(500, 0), found) == expected


@pytest.mark.parametrize(("value", "expected"), [(8, "stable"), (7, "drift"), (9, "drift")])
def test_what_was_always_equal_has_drifted_if_it_is_not(value, expected):
    assert verdict(np.full(200, 8.0), np.full(200, float(value))) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (classes(300, 0.6, 0.4, seed=1), "stable"),
        (classes(300, 0.1, 0.9, seed=1), "drift"),
        (classes(300, 0.3, 0.2, 0.5, seed=1), "drift"),
        (classes(50, 0.1, 0.9, seed=1), "too few"),
    ],
)
def test_categories(found, expected):
    assert verdict(classes(300, 0.6, 0.4), found) == expected


def test_p_is_corrected_for_the_number_of_quantities():
    reference = {str(i): normal(300, 0) for i in range(20)}
    found = {str(i): normal(300, 5, 0.3) for i in range(20)}
    [alone] = compare(profile({"0": reference["0"]}), {"0": found["0"]})
    together = compare(profile(reference), found)
    assert together[0].p == pytest.approx(min(1, 20 * alone.p))


def test_quantities_that_one_side_lacks_are_not_compared():
    own = Profile(200, {"a": normal(200, 0), "b": normal(200, 0)})
    found = {"b": normal(200, 1), "a": classes(200, 1.0), "c": normal(200, 1)}
    assert [one.name for one in compare(own, found)] == ["b"]


def test_shares_are_those_of_both_sides():
    [one] = compare(profile({"x": classes(300, 1.0)}), {"x": classes(100, 0.5, 0.5)})
    assert list(shares(one)) == ["a", "b"]
    assert shares(one)["a"][0] == 1
    assert sum(found for _, found in shares(one).values()) == pytest.approx(1)
