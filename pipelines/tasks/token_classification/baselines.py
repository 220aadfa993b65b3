"""Baselines of token classification: the most frequent tag, and a hidden Markov model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import nltk

from pipelines.datasets.text_columns import PackedValues

# More texts would hardly change the model, and it keeps all of their words.
_MAX_TEXTS = 50_000

# From the words of a text to a tag for each.
Tagger = Callable[[Sequence[str]], list[str]]


def most_frequent_tag(words: PackedValues, tags: PackedValues) -> Tagger:
    """Returns a tagger that gives each word its most frequent tag.

    Unknown words get the most frequent tag of words that occur once.

    Args:
        words: Tuples of words [texts].
        tags: Their tags.
    """
    counts: dict[str, Counter] = defaultdict(Counter)
    for text, answer in zip(words, tags, strict=True):
        for word, tag in zip(text, answer, strict=True):
            counts[_shape(word)][tag] += 1
    best = {shape: tally.most_common(1)[0][0] for shape, tally in counts.items()}
    rare = Counter(tag for tally in counts.values() if tally.total() == 1 for tag in tally)
    unknown = (rare or sum(counts.values(), Counter())).most_common(1)[0][0]
    return lambda text: [best.get(_shape(word), unknown) for word in text]


def hidden_markov_model(words: PackedValues, tags: PackedValues) -> Tagger:
    """Fits a hidden Markov model of tags; its tagger decodes with Viterbi's algorithm.

    It is fitted to at most 50,000 texts. Words that occur once stand for all unknown ones. Counts
    are smoothed by 0.1 (Lidstone).

    Args:
        words: Tuples of words [texts].
        tags: Their tags.
    """
    words, tags = words[:_MAX_TEXTS], tags[:_MAX_TEXTS]
    counts = Counter(_shape(word) for text in words for word in text)

    def known(word: str) -> str:
        shape = _shape(word)
        return shape if counts[shape] > 1 else "<unknown>"

    sequences = [
        [(known(word), tag) for word, tag in zip(text, answer, strict=True)]
        for text, answer in zip(words, tags, strict=True)
    ]
    tagger = nltk.HiddenMarkovModelTagger.train(
        sequences, estimator=lambda counted, bins: nltk.LidstoneProbDist(counted, 0.1, bins)
    )
    return lambda text: [tag for _, tag in tagger.tag([known(word) for word in text])]


def _shape(word: str) -> str:
    return "".join("0" if letter.isdigit() else letter for letter in word.lower())
