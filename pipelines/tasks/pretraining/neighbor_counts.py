"""N-gram counts of tokens and their neighbors: a language model for baselines.

A masked token is predicted from its two neighbors: P(w | left, right) is the relative frequency of
w between them, smoothed towards P(w | left) P(w | right) / P(w), whose factors are smoothed towards
P(w), each as by a Dirichlet prior (MacKay & Peto, "A Hierarchical Dirichlet Language Model", 1995).
With four neighbors, two on each side, the factors are relative frequencies next to both of a side,
which are smoothed towards those next to the nearer one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

# Weights of the priors, in counts, given one neighbor, two of a side, and one of each side; chosen
# on validation.
_PRIOR_ONE, _PRIOR_TWO, _PRIOR_BOTH = 100.0, 20.0, 10.0
# Tokens that are counted: more would take longer than training the network.
COUNTED = 5_000_000
_BATCH = 256


class NeighborCounts:
    """Counts of unigrams, bigrams and trigrams.

    Attributes:
        unigram: P(w), float64 [vocabulary], with one added to every count.
    """

    def __init__(self, ids: np.ndarray, size: int) -> None:
        """Counts int [tokens], running text; ids are below `size`, the vocabulary's."""
        self.unigram = frequencies(ids, size)
        ids = ids[:COUNTED].astype(np.int64)
        self._after = _count(ids[:-1], ids[1:], size, size)
        self._before = self._after.T.tocsr()
        self._between = _PairCounts(ids[:-2], ids[2:], ids[1:-1], size)
        self._after_two = _PairCounts(ids[:-2], ids[1:-1], ids[2:], size)
        self._before_two = _PairCounts(ids[1:-1], ids[2:], ids[:-2], size)

    def log_probabilities(self, before: np.ndarray, after: np.ndarray) -> Iterator[np.ndarray]:
        """Yields log P(w | before, after), float64 [positions, vocabulary], batch by batch.

        Args:
            before: int [positions, 1 or 2], the tokens before each position, the nearest first.
            after: int of the same shape, those after it, the nearest first. Tokens that were not
                counted, as [MASK], leave the probabilities as they are without them.
        """
        for start in range(0, len(before), _BATCH):
            left, right = (x[start : start + _BATCH].T for x in (before, after))
            sides = [
                _smoothed(counts[neighbor], self.unigram, _PRIOR_ONE)
                for counts, neighbor in ((self._after, left[0]), (self._before, right[0]))
            ]
            if len(left) > 1:
                sides[0] = _smoothed(self._after_two.of(left[1], left[0]), sides[0], _PRIOR_TWO)
                sides[1] = _smoothed(self._before_two.of(right[0], right[1]), sides[1], _PRIOR_TWO)
            product = sides[0] * sides[1] / self.unigram
            product /= product.sum(1, keepdims=True)
            yield np.log(_smoothed(self._between.of(left[0], right[0]), product, _PRIOR_BOTH))

    def draw(
        self, before: np.ndarray, after: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Draws a token, int64 [positions], from P(w | before, after) of each position."""
        drawn = [
            (log_p + random.gumbel(size=log_p.shape)).argmax(1)
            for log_p in self.log_probabilities(before, after)
        ]
        return np.concatenate([np.zeros(0, np.int64), *drawn])

    def features(self, before: np.ndarray, own: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Returns log P(w) of tokens and log P(w | neighbors) of each side.

        Args:
            before: int [positions, 1 or 2], the tokens before each position, the nearest first.
            own: int [positions], the token at it.
            after: int of the same shape as `before`, those after it.

        Returns:
            float64 [positions, 3]; with two neighbors of a side [positions, 5]: given the nearer
            one, and given both.
        """
        unigram = self.unigram[own]
        left, right = before.T, after.T
        one = [
            _towards(
                _flat(counts[neighbor, own]), _flat(counts.sum(1))[neighbor], unigram, _PRIOR_ONE
            )
            for counts, neighbor in ((self._after, left[0]), (self._before, right[0]))
        ]
        columns = [unigram, *one]
        if len(left) > 1:
            for pairs, (first, second), nearer in (
                (self._after_two, (left[1], left[0]), one[0]),
                (self._before_two, (right[0], right[1]), one[1]),
            ):
                rows = pairs.rows(first, second)
                seen, total = _flat(pairs.counts[rows, own]), _flat(pairs.counts.sum(1))[rows]
                columns.append(_towards(seen, total, nearer, _PRIOR_TWO))
        return np.log(np.stack(columns, axis=1))


def frequencies(ids: np.ndarray, size: int) -> np.ndarray:
    """Returns P(w) of tokens, float64 [vocabulary], with one added to every count.

    Args:
        ids: int [tokens], below `size`, the vocabulary's.
        size: The number of tokens in it.
    """
    counts = np.bincount(ids[:COUNTED], minlength=size) + 1.0
    return counts / counts.sum()


def neighbors(ids: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tokens before and after each of int [texts, tokens], the nearest first.

    Both are int [texts, tokens, reach], padded with zeros.
    """
    length = ids.shape[1]
    padded = np.pad(ids, [(0, 0), (reach, reach)])
    before, after = (
        np.stack([padded[:, reach + sign * step :][:, :length] for step in range(1, reach + 1)], -1)
        for sign in (-1, 1)
    )
    return before, after


class _PairCounts:
    """Counts of tokens beside, or between, pairs of tokens.

    Attributes:
        counts: float64 [pairs + 1, vocabulary]; the last row, that of unknown pairs, is empty.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray, own: np.ndarray, size: int) -> None:
        self._size = size
        self._pairs, rows = np.unique(first * size + second, return_inverse=True)
        self.counts = _count(rows, own, len(self._pairs) + 1, size)

    def rows(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Returns the row of each pair."""
        key = first.astype(np.int64) * self._size + second
        row = np.minimum(np.searchsorted(self._pairs, key), len(self._pairs) - 1)
        return np.where(self._pairs[row] == key, row, len(self._pairs))

    def of(self, first: np.ndarray, second: np.ndarray) -> sparse.csr_matrix:
        """Returns the counts of each pair, [pairs, vocabulary]."""
        return self.counts[self.rows(first, second)]


def _smoothed(counts: sparse.csr_matrix, prior: np.ndarray, weight: float) -> np.ndarray:
    """Returns the relative frequencies of rows of counts, [rows, vocabulary], see `_towards`."""
    dense = counts.toarray()
    return _towards(dense, dense.sum(1, keepdims=True), prior, weight)


def _towards(seen: np.ndarray, total: np.ndarray, prior: np.ndarray, weight: float) -> np.ndarray:
    """Returns relative frequencies, smoothed towards a prior that weighs as so many counts."""
    return (seen + weight * prior) / (total + weight)


def _flat(matrix: Any) -> np.ndarray:
    """Returns the only row or column of a matrix as an array."""
    return np.asarray(matrix).ravel()


def _count(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> sparse.csr_matrix:
    ones = np.ones(len(rows))
    return sparse.csr_matrix((ones, (rows, columns)), shape=(height, width))
