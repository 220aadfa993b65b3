"""N-gram counts of tokens and their neighbors: a language model for baselines.

A masked token is predicted from its two neighbors: P(w | left, right) is the relative frequency of
w between them, smoothed towards P(w | left) P(w | right) / P(w), whose factors are smoothed towards
P(w), each as by a Dirichlet prior (MacKay & Peto, "A Hierarchical Dirichlet Language Model", 1995).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

# Weights of the priors, in counts, given one neighbor and both; chosen on validation.
_PRIOR_ONE, _PRIOR_BOTH = 100.0, 10.0
# Counting more would take longer than training the network.
_MAX_TOKENS = 5_000_000
_BATCH = 256


class NeighborCounts:
    """Counts of unigrams, bigrams and trigrams.

    Attributes:
        unigram: P(w), float64 [vocabulary], with one added to every count.
    """

    def __init__(self, ids: np.ndarray, size: int) -> None:
        """Counts int [tokens], running text; ids are below `size`, the vocabulary's."""
        ids = ids[:_MAX_TOKENS].astype(np.int64)
        counts = np.bincount(ids, minlength=size) + 1.0
        self.unigram = counts / counts.sum()
        self._after = _count(ids[:-1], ids[1:], size, size)
        self._before = self._after.T.tocsr()
        self._pairs, rows = np.unique(ids[:-2] * size + ids[2:], return_inverse=True)
        self._between = _count(rows, ids[1:-1], len(self._pairs) + 1, size)

    def log_probabilities(self, left: np.ndarray, right: np.ndarray) -> Iterator[np.ndarray]:
        """Yields log P(w | left, right), float64 [positions, vocabulary], batch by batch.

        Args:
            left: int [positions], the token before each position.
            right: int [positions], the token after it; one that was not counted, as [MASK], leaves
                the probabilities as they are without it.
        """
        for start in range(0, len(left), _BATCH):
            one, other = left[start : start + _BATCH], right[start : start + _BATCH]
            product = self._smoothed(self._after[one]) * self._smoothed(self._before[other])
            product /= self.unigram
            product /= product.sum(1, keepdims=True)
            between = self._between[self._rows(one, other)].toarray()
            total = between.sum(1, keepdims=True) + _PRIOR_BOTH
            yield np.log((between + _PRIOR_BOTH * product) / total)

    def draw(self, left: np.ndarray, right: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Draws a token, int64 [positions], from P(w | left, right) of each position."""
        drawn = [
            (log_p + random.gumbel(size=log_p.shape)).argmax(1)
            for log_p in self.log_probabilities(left, right)
        ]
        return np.concatenate([np.zeros(0, np.int64), *drawn])

    def features(self, left: np.ndarray, own: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns log P(w), log P(w | left) and log P(w | right) of tokens, float64 [positions, 3].

        Args:
            left: int [positions], the token before each position.
            own: int [positions], the token at it.
            right: int [positions], the token after it.
        """
        unigram = self.unigram[own]
        columns = [np.log(unigram)]
        for counts, neighbor in ((self._after, left), (self._before, right)):
            seen = np.asarray(counts[neighbor, own]).ravel()
            total = np.asarray(counts.sum(1)).ravel()[neighbor]
            columns.append(np.log((seen + _PRIOR_ONE * unigram) / (total + _PRIOR_ONE)))
        return np.stack(columns, axis=1)

    def _smoothed(self, counts: sparse.csr_matrix) -> np.ndarray:
        dense = counts.toarray()
        return (dense + _PRIOR_ONE * self.unigram) / (dense.sum(1, keepdims=True) + _PRIOR_ONE)

    def _rows(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns the row of each pair among the counted ones; an empty row for others."""
        key = left.astype(np.int64) * len(self.unigram) + right
        row = np.minimum(np.searchsorted(self._pairs, key), len(self._pairs) - 1)
        return np.where(self._pairs[row] == key, row, len(self._pairs))


def _count(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> sparse.csr_matrix:
    ones = np.ones(len(rows))
    return sparse.csr_matrix((ones, (rows, columns)), shape=(height, width))
