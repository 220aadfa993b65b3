"""CIDEr-D, the consensus of a caption with several references.

Vedantam, Zitnick & Parikh, "CIDEr: Consensus-based Image Description Evaluation", 2015, sections 4
and 6. A caption is, for each n from 1 to 4, a vector of its n-grams' TF-IDF: an n-gram counts the
more, the fewer images have it in their captions. For the caption c, its m references s_j, and the
numbers of words l,

    CIDEr-D_n(c, S) = 10/m sum_j exp(-(l(c) - l(s_j))^2 / (2 6^2))
                      min(g_n(c), g_n(s_j)) . g_n(s_j) / (|g_n(c)| |g_n(s_j)|)

and CIDEr-D is the mean over n: 10 where all references are c itself. As in the authors' code, term
frequencies are numbers of occurrences. Their code takes document frequencies from the references
that are evaluated, here they are from the training split: a caption's score does not depend on
which others are scored with it.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_ORDERS = 4
_SIGMA = 6.0  # Words.
_WORD = re.compile(r"\w+(?:['’]\w+)*")

Gram = tuple[str, ...]


def words(caption: str) -> list[str]:
    """Returns the words of a caption as they are compared: in lower case, without marks."""
    return _WORD.findall(caption.lower())


@dataclass(frozen=True, eq=False)
class DocumentFrequencies:
    """How many images have an n-gram in one of their captions.

    Attributes:
        images: Number of images.
        counts: By n-gram; others have 0.
    """

    images: int
    counts: Counter[Gram]

    def weight(self, gram: Gram) -> float:
        """Returns the inverse document frequency of an n-gram, at least 0."""
        return math.log(max(self.images, 1) / max(self.counts[gram], 1))


def document_frequencies(captions: Iterable[Sequence[str]]) -> DocumentFrequencies:
    """Counts the images that have each n-gram; `captions` are those of each image."""
    found = [{gram for caption in own for gram in _grams(words(caption))} for own in captions]
    return DocumentFrequencies(len(found), Counter(gram for grams in found for gram in grams))


@functools.lru_cache(maxsize=1 << 17)
def cider(caption: str, references: tuple[str, ...], frequencies: DocumentFrequencies) -> float:
    """Returns CIDEr-D of a caption, 0 to 10.

    Args:
        caption: What a model says of an image.
        references: What people say of it, at least one caption.
        frequencies: Those of the training split.
    """
    found = _vectors(caption, frequencies)
    return (
        10
        * sum(_similarity(found, _vectors(reference, frequencies)) for reference in references)
        / len(references)
    )


@dataclass(frozen=True)
class _Vectors:
    """A caption as the TF-IDF of its n-grams, by n from 1 on, their norms, and its length."""

    weights: tuple[dict[Gram, float], ...]
    norms: tuple[float, ...]
    length: int


@functools.lru_cache(maxsize=1 << 17)
def _vectors(caption: str, frequencies: DocumentFrequencies) -> _Vectors:
    found = words(caption)
    weights: tuple[dict[Gram, float], ...] = tuple({} for _ in range(_ORDERS))
    for gram, count in Counter(_grams(found)).items():
        weights[len(gram) - 1][gram] = count * frequencies.weight(gram)
    norms = tuple(math.sqrt(sum(x * x for x in own.values())) for own in weights)
    return _Vectors(weights, norms, len(found))


def _similarity(found: _Vectors, reference: _Vectors) -> float:
    total = 0.0
    for own, norm, others, other_norm in zip(
        found.weights, found.norms, reference.weights, reference.norms, strict=True
    ):
        if norm and other_norm:
            both = own.keys() & others.keys()
            shared = math.fsum(min(own[gram], others[gram]) * others[gram] for gram in both)
            total += shared / (norm * other_norm)
    gap = found.length - reference.length
    return total / _ORDERS * math.exp(-(gap**2) / (2 * _SIGMA**2))


def _grams(found: Sequence[str]) -> list[Gram]:
    """Returns all n-grams of words, n from 1 to 4."""
    return [
        tuple(found[start : start + order])
        for order in range(1, _ORDERS + 1)
        for start in range(len(found) - order + 1)
    ]
