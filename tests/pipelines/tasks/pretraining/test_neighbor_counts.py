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


def by_hand(before: tuple[int, ...], after: tuple[int, ...]) -> np.ndarray:
    """The formulas in the module's docstring, with loops for sums; the nearest token is first."""
    unigram = (np.bincount(IDS, minlength=SIZE) + 1) / (len(IDS) + SIZE)

    def smoothed(towards: np.ndarray, weight: float, expected: dict[int, int]) -> np.ndarray:
        """Relative frequencies of tokens that have the expected ones at offsets from them."""
        seen = np.zeros(SIZE)
        for i, token in enumerate(IDS):
            around = {o: IDS[i + o] for o in expected if 0 <= i + o < len(IDS)}
            seen[token] += around == expected
        return (seen + weight * towards) / (seen.sum() + weight)

    product = 1 / unigram
    for sign, tokens in ((-1, before), (1, after)):
        side, expected = unigram, {}
        for step, token in enumerate(tokens, start=1):
            expected[sign * step] = token
            weight = neighbor_counts._PRIOR_ONE if step == 1 else neighbor_counts._PRIOR_TWO
            side = smoothed(side, weight, expected)
        product = product * side
    product /= product.sum()
    return smoothed(product, neighbor_counts._PRIOR_BOTH, {-1: before[0], 1: after[0]})


@pytest.mark.parametrize("reach", [1, 2])
def test_probabilities_are_those_of_the_formula(counts, reach):
    contexts = list(itertools.product(range(SIZE), repeat=2 * reach))
    before, after = np.split(np.array(contexts), 2, axis=1)
    log_p = np.concatenate(list(counts.log_probabilities(before, after)))
    assert log_p.shape == (len(contexts), SIZE)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1)
    for row in range(0, len(contexts), 7 ** (reach - 1)):
        expected = by_hand(tuple(before[row]), tuple(after[row]))
        np.testing.assert_allclose(np.exp(log_p[row]), expected, rtol=1e-9)


@pytest.mark.parametrize("reach", [1, 2])
def test_neighbors_that_never_occur_leave_the_unigram(counts, reach):
    (log_p,) = counts.log_probabilities(np.full((1, reach), 6), np.full((1, reach), 0))
    np.testing.assert_allclose(np.exp(log_p[0]), counts.unigram)


def test_many_positions_come_in_batches(counts):
    left = np.resize(np.arange(SIZE), (2 * neighbor_counts._BATCH + 3, 1))
    parts = list(counts.log_probabilities(left, left[::-1]))
    assert [len(part) for part in parts] == [neighbor_counts._BATCH, neighbor_counts._BATCH, 3]


def test_draws_follow_the_probabilities(counts):
    before, after = np.full((40_000, 1), 1), np.full((40_000, 1), 3)
    drawn = counts.draw(before, after, np.random.default_rng(0))
    found = np.bincount(drawn, minlength=SIZE) / len(before)
    np.testing.assert_allclose(found, by_hand((1,), (3,)), atol=0.01)


def test_features_are_logarithms_of_smoothed_frequencies(counts):
    (features,) = counts.features(np.array([[1]]), np.array([2]), np.array([[3]]))
    prior = neighbor_counts._PRIOR_ONE
    unigram = counts.unigram[2]
    # 2 follows 1 all three times; 3 comes twice, both times behind 2.
    expected = [
        unigram,
        (3 + prior * unigram) / (3 + prior),
        (2 + prior * unigram) / (2 + prior),
    ]
    np.testing.assert_allclose(features, np.log(expected))
    # Behind 3, 1 it comes once, and before 3, 1 once.
    (farther,) = counts.features(np.array([[1, 3]]), np.array([2]), np.array([[3, 1]]))
    both = (1 + neighbor_counts._PRIOR_TWO * np.array(expected[1:])) / (
        1 + neighbor_counts._PRIOR_TWO
    )
    np.testing.assert_allclose(farther, np.log([*expected, *both]))
