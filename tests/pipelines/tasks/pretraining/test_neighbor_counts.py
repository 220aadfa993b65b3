"""N-gram counts against sums by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipelines.tasks.pretraining import neighbor_counts
from pipelines.tasks.pretraining.neighbor_counts import NeighborCounts

SIZE = 7
IDS = np.array([1, 2, 3, 1, 2, 4, 1, 2, 3, 5])


@pytest.fixture(scope="module")
def counts() -> NeighborCounts:
    return NeighborCounts(IDS, SIZE)


def by_hand(left: int, right: int) -> np.ndarray:
    """The formula in the module's docstring, with loops for sums."""
    unigram = (np.bincount(IDS, minlength=SIZE) + 1) / (len(IDS) + SIZE)

    def smoothed(seen: np.ndarray, towards: np.ndarray, weight: float) -> np.ndarray:
        return (seen + weight * towards) / (seen.sum() + weight)

    after, before, both = np.zeros((3, SIZE))
    for one, two in itertools.pairwise(IDS):
        after[two] += one == left
        before[one] += two == right
    for one, two, three in zip(IDS[:-2], IDS[1:-1], IDS[2:], strict=True):
        both[two] += one == left and three == right
    product = smoothed(after, unigram, neighbor_counts._PRIOR_ONE) * smoothed(
        before, unigram, neighbor_counts._PRIOR_ONE
    )
    product = product / unigram / (product / unigram).sum()
    return smoothed(both, product, neighbor_counts._PRIOR_BOTH)


def test_probabilities_are_those_of_the_formula(counts):
    pairs = [(left, right) for left in range(SIZE) for right in range(SIZE)]
    left, right = np.array(pairs).T
    (log_p,) = counts.log_probabilities(left, right)
    assert log_p.shape == (len(pairs), SIZE)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1)
    for row, pair in zip(log_p, pairs, strict=True):
        np.testing.assert_allclose(np.exp(row), by_hand(*pair), rtol=1e-9)


def test_neighbors_that_never_occur_leave_the_unigram(counts):
    (log_p,) = counts.log_probabilities(np.array([6]), np.array([0]))
    np.testing.assert_allclose(np.exp(log_p[0]), counts.unigram)


def test_many_positions_come_in_batches(counts):
    left = np.resize(np.arange(SIZE), 2 * neighbor_counts._BATCH + 3)
    parts = list(counts.log_probabilities(left, left[::-1]))
    assert [len(part) for part in parts] == [neighbor_counts._BATCH, neighbor_counts._BATCH, 3]


def test_draws_follow_the_probabilities(counts):
    positions = np.full(40_000, 2)
    drawn = counts.draw(
        np.full_like(positions, 1), np.full_like(positions, 3), np.random.default_rng(0)
    )
    found = np.bincount(drawn, minlength=SIZE) / len(positions)
    np.testing.assert_allclose(found, by_hand(1, 3), atol=0.01)


def test_features_are_logarithms_of_smoothed_frequencies(counts):
    (features,) = counts.features(np.array([1]), np.array([2]), np.array([3]))
    prior = neighbor_counts._PRIOR_ONE
    unigram = counts.unigram[2]
    # 2 follows 1 all three times; 3 comes twice, both times behind 2.
    expected = [
        unigram,
        (3 + prior * unigram) / (3 + prior),
        (2 + prior * unigram) / (2 + prior),
    ]
    np.testing.assert_allclose(features, np.log(expected))
