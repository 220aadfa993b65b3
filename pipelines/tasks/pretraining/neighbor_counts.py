"""A baseline of pre-training: counts of words and of their neighbours.

A hidden token is guessed from the two beside it: P(w | left, right) is the share that was counted,
smoothed towards P(w | left) P(w | right) / P(w), whose factors are smoothed towards P(w), each as
by a Dirichlet prior (MacKay & Peto, "A Hierarchical Dirichlet Language Model", 1995).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

# How many counts a prior weighs: of one neighbour and of both; chosen on validation.
_ONE, _BOTH = 100.0, 10.0
# Counting more would take longer than the network.
_MOST_TOKENS = 5_000_000
_ROWS = 256


class Neighbours:
    """Counts of tokens, of pairs and of triples.

    Attributes:
        share: P(w), float64 [vocabulary], every token counted once more than it occurs.
    """

    def __init__(self, ids: np.ndarray, size: int) -> None:
        """Counts in int [tokens], running text; ids are below `size`."""
        ids = ids[:_MOST_TOKENS].astype(np.int64)
        counts = np.bincount(ids, minlength=size) + 1.0
        self.share = counts / counts.sum()
        self._after = _counted(ids[:-1], ids[1:], size, size)
        self._before = self._after.T.tocsr()
        self._pairs, rows = np.unique(ids[:-2] * size + ids[2:], return_inverse=True)
        self._between = _counted(rows, ids[1:-1], len(self._pairs) + 1, size)

    def log_probabilities(self, left: np.ndarray, right: np.ndarray) -> Iterator[np.ndarray]:
        """Yields log P(w | left, right), float64 [rows, vocabulary], for some places at a time.

        Args:
            left: int [places], the token before each place.
            right: int [places], the token behind it; of one that is not in the counts, as [MASK],
                nothing is learned.
        """
        for start in range(0, len(left), _ROWS):
            one, other = left[start : start + _ROWS], right[start : start + _ROWS]
            product = self._given(self._after[one]) * self._given(self._before[other]) / self.share
            product /= product.sum(1, keepdims=True)
            between = self._between[self._rows(one, other)].toarray()
            yield np.log((between + _BOTH * product) / (between.sum(1, keepdims=True) + _BOTH))

    def draw(self, left: np.ndarray, right: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Draws a token, int64 [places], from P(w | left, right) of each place."""
        drawn = [
            (chance + random.gumbel(size=chance.shape)).argmax(1)
            for chance in self.log_probabilities(left, right)
        ]
        return np.concatenate([np.zeros(0, np.int64), *drawn])

    def features(self, left: np.ndarray, own: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns log P(w), log P(w | left) and log P(w | right) of tokens, float64 [places, 3].

        Args:
            left: int [places], the token before each place.
            own: int [places], the token at it.
            right: int [places], the token behind it.
        """
        share = self.share[own]
        columns = [np.log(share)]
        for counts, given in ((self._after, left), (self._before, right)):
            seen = np.asarray(counts[given, own]).ravel()
            total = np.asarray(counts.sum(1)).ravel()[given]
            columns.append(np.log((seen + _ONE * share) / (total + _ONE)))
        return np.stack(columns, axis=1)

    def _given(self, counts: sparse.csr_matrix) -> np.ndarray:
        dense = counts.toarray()
        return (dense + _ONE * self.share) / (dense.sum(1, keepdims=True) + _ONE)

    def _rows(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns the row of each pair among those counted; an empty one for others."""
        key = left.astype(np.int64) * len(self.share) + right
        row = np.minimum(np.searchsorted(self._pairs, key), len(self._pairs) - 1)
        return np.where(self._pairs[row] == key, row, len(self._pairs))


def _counted(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> sparse.csr_matrix:
    ones = np.ones(len(rows))
    return sparse.csr_matrix((ones, (rows, columns)), shape=(height, width))
