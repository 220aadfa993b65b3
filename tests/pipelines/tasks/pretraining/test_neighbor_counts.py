"""Counts of neighbours against sums by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipelines.tasks.pretraining import neighbor_counts
from pipelines.tasks.pretraining.neighbor_counts import Neighbours

SIZE = 7
IDS = np.array([1, 2, 3, 1, 2, 4, 1, 2, 3, 5])


@pytest.fixture(scope="module")
def counts() -> Neighbours:
    return Neighbours(IDS, SIZE)


def by_hand(left: int, right: int) -> np.ndarray:
    """The formula of the module's docstring, with loops for sums."""
    share = (np.bincount(IDS, minlength=SIZE) + 1) / (len(IDS) + SIZE)

    def smoothed(seen: np.ndarray, towards: np.ndarray, weight: float) -> np.ndarray:
        return (seen + weight * towards) / (seen.sum() + weight)

    after, before, both = np.zeros((3, SIZE))
    for one, two in itertools.pairwise(IDS):
        after[two] += one == left
        before[one] += two == right
    for one, two, three in zip(IDS[:-2], IDS[1:-1], IDS[2:], strict=True):
        both[two] += one == left and three == right
    product = smoothed(after, share, neighbor_counts._ONE) * smoothed(
        before, share, neighbor_counts._ONE
    )
    product = product / share / (product / share).sum()
    return smoothed(both, product, neighbor_counts._BOTH)


def test_probabilities_are_those_of_the_formula(counts):
    pairs = [(left, right) for left in range(SIZE) for right in range(SIZE)]
    left, right = np.array(pairs).T
    (chance,) = counts.log_probabilities(left, right)
    assert chance.shape == (len(pairs), SIZE)
    np.testing.assert_allclose(np.exp(chance).sum(1), 1)
    for row, pair in zip(chance, pairs, strict=True):
        np.testing.assert_allclose(np.exp(row), by_hand(*pair), rtol=1e-9)


def test_of_neighbours_that_never_occur_nothing_is_learned(counts):
    (chance,) = counts.log_probabilities(np.array([6]), np.array([0]))
    np.testing.assert_allclose(np.exp(chance[0]), counts.share)


def test_many_places_come_in_parts(counts):
    left = np.resize(np.arange(SIZE), 2 * neighbor_counts._ROWS + 3)
    parts = list(counts.log_probabilities(left, left[::-1]))
    assert [len(part) for part in parts] == [neighbor_counts._ROWS, neighbor_counts._ROWS, 3]


def test_draws_follow_the_probabilities(counts):
    places = np.full(40_000, 2)
    drawn = counts.draw(np.full_like(places, 1), np.full_like(places, 3), np.random.default_rng(0))
    found = np.bincount(drawn, minlength=SIZE) / len(places)
    np.testing.assert_allclose(found, by_hand(1, 3), atol=0.01)


def test_features_are_logarithms_of_each_neighbour_s_share(counts):
    (features,) = counts.features(np.array([1]), np.array([2]), np.array([3]))
    share, weight = counts.share[2], neighbor_counts._ONE
    # 2 follows 1 all three times; 3 comes twice, both times behind 2.
    expected = [share, (3 + weight * share) / (3 + weight), (2 + weight * share) / (2 + weight)]
    np.testing.assert_allclose(features, np.log(expected))
