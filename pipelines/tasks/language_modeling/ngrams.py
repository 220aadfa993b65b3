"""n-gram language models: Kneser & Ney's smoothing as Chen & Goodman modified it.

Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", 1998, section 3:

    p(w | h) = (c(h w) - D(c(h w)))+ / c(h) + γ(h) p(w | h')

where h' is h without its first token, γ(h) the backoff mass that the discounts leave, and the empty
context backs off to 1/V. In the highest order, c is the number of occurrences; in lower
orders, the number of different tokens that precede. Each order has three discounts, for counts of
one, two, and three and more, from the numbers of n-grams that occur once to four times (equation
26).

An n-gram is coded as a number: that of its context times V, plus the token. So NumPy's `unique`
counts them and `searchsorted` finds them, all positions of a text at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Where too few n-grams are rare to estimate discounts, as with the 80 characters of English.
_FALLBACK = (0.5, 1.0, 1.5)
# Tokens whose probabilities are computed at once.
_TOKENS = 1 << 20


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order.

    Attributes:
        keys: int64 [n-grams], context times V plus token, sorted; the index of an n-gram is its
            code as a context of the next order.
        discounted: float64 [n-grams], counts less discounts.
        total: float64 [contexts], counts of all n-grams of a context.
        backoff: float64 [contexts], backoff mass: discounts of all n-grams of a context.
    """

    keys: np.ndarray
    discounted: np.ndarray
    total: np.ndarray
    backoff: np.ndarray


class KneserNey:
    """An interpolated n-gram model with modified Kneser-Ney smoothing."""

    def __init__(self, tokens: np.ndarray, vocabulary: int, order: int) -> None:
        """Counts the n-grams of a text.

        Args:
            tokens: int [tokens], ids below `vocabulary`.
            vocabulary: Size of the vocabulary.
            order: Length of the longest n-grams.
        """
        self.order, self._vocabulary = order, vocabulary
        numbers = [np.zeros(len(tokens), np.int64)]
        keys, counts = [], []
        for length in range(1, min(order, len(tokens)) + 1):
            # The n-gram that ends at each position; the first positions have none.
            context = numbers[-1][: len(tokens) - length + 1] if length > 1 else numbers[0]
            unique, number, count = np.unique(
                context * vocabulary + tokens[length - 1 :], return_inverse=True, return_counts=True
            )
            keys.append(unique)
            counts.append(count)
            numbers.append(number)
        for shorter in range(len(keys) - 1):
            # For each n-gram of the next order, the n-gram without its first token.
            without = np.zeros(len(keys[shorter + 1]), np.int64)
            without[numbers[shorter + 2]] = numbers[shorter + 1][1:]
            counts[shorter] = np.bincount(without, minlength=len(keys[shorter]))
        contexts = [1, *map(len, keys)]
        self._orders = [self._smoothed(*each) for each in zip(keys, counts, contexts, strict=False)]

    def _smoothed(self, keys: np.ndarray, counts: np.ndarray, contexts: int) -> _Order:
        discounts = np.array([0.0, *_discounts(counts)])[np.minimum(counts, 3)]
        context = keys // self._vocabulary

        def per_context(values: np.ndarray) -> np.ndarray:
            return np.bincount(context, values, minlength=contexts)

        return _Order(keys, counts - discounts, per_context(counts), per_context(discounts))

    def log_probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the natural logarithm of each token's probability after those before it.

        Args:
            tokens: int [tokens].

        Returns:
            float64 [tokens]; the first token has no context.
        """
        parts, before = [], self.order - 1
        for start in range(0, len(tokens), _TOKENS):
            # With the tokens before, which are all that the first probabilities depend on.
            first = max(0, start - before)
            found = self._log_probabilities(tokens[first : start + _TOKENS])
            parts.append(found[start - first :])
        return np.concatenate(parts) if parts else np.array([])

    def _log_probabilities(self, tokens: np.ndarray) -> np.ndarray:
        probabilities = np.full(len(tokens), 1 / self._vocabulary)
        context = np.zeros(len(tokens), np.int64)
        for order in self._orders:
            known = context >= 0
            row = np.where(known, context, 0)
            key = row * self._vocabulary + tokens
            place = np.minimum(np.searchsorted(order.keys, key), len(order.keys) - 1)
            found = known & (order.keys[place] == key)
            total = order.total[row]
            # A context without occurrences backs off altogether.
            seen = known & (total > 0)
            own = np.where(found, order.discounted[place], 0.0)
            interpolated = (own + order.backoff[row] * probabilities) / np.where(seen, total, 1.0)
            probabilities = np.where(seen, interpolated, probabilities)
            # The next order's context is the n-gram that ends one token before.
            context = np.concatenate([[-1], np.where(found, place, -1)[:-1]])
        return np.log(probabilities)


def _discounts(counts: np.ndarray) -> tuple[float, ...]:
    """Returns the discounts of n-grams that occur once, twice, and more often."""
    once, twice, thrice, four = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if not (once and twice and thrice):
        return _FALLBACK
    ratio = once / (once + 2 * twice)
    found = (
        1 - 2 * ratio * twice / once,
        2 - 3 * ratio * thrice / twice,
        3 - 4 * ratio * four / thrice,
    )
    return found if min(found) > 0 else _FALLBACK
