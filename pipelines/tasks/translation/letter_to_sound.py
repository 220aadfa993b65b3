"""Letter-to-sound rules: each letter becomes none, one or two symbols, by the letters around it.

Black, Lenzo & Pagel, "Issues in Building General Letter to Sound Rules", 1998: letters are aligned
with symbols in order, in alternation with counting how often which letter becomes which symbols; a
rule is then the most frequent outcome of a letter in its context. Their decision trees are replaced
with the longest context that is known.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

Outcome = tuple[str, ...]

# A letter becomes at most so many symbols, as "x" becomes "K S" and "u" becomes "Y UW".
_MOST = 2
_ITERATIONS = 4
# How far apart letters and symbols may be at first, as a part of the word.
_NEAR = 0.25
# The cost of an outcome that no letter had in the iteration before, in nats.
_UNSEEN = 20.0
# What it costs that a letter is not just one symbol, beside its probability, in nats.
_NOT_ONE = 1.0
# Numbers of letters to the left and to the right of a letter, from the longest context to none.
_CONTEXTS = ((3, 4), (3, 3), (2, 3), (2, 2), (1, 2), (1, 1), (0, 1), (0, 0))
_WIDEST = 4
_EDGE = " "


def letter_to_sound(sources: Sequence[str], targets: Sequence[str]) -> Callable[[str], str]:
    """Learns the rules of a training split, and returns the function that applies them.

    A letter that is not known has no symbols.

    Args:
        sources: Words; spaces and upper case do not count.
        targets: Their symbols, separated by spaces. Pairs without any, or with more than two
            for each letter, are left out.
    """
    pairs = [(_letters(s), t.split()) for s, t in zip(sources, targets, strict=True)]
    pairs = [(word, symbols) for word, symbols in pairs if 0 < len(symbols) <= _MOST * len(word)]
    rules: dict[tuple[str, str, str], Counter[Outcome]] = defaultdict(Counter)
    for (word, _), outcomes in zip(pairs, aligned(pairs), strict=True):
        for place, outcome in enumerate(outcomes):
            for context in _contexts(word, place):
                rules[context][outcome] += 1
    best = {context: counted.most_common(1)[0][0] for context, counted in rules.items()}

    def apply(source: str) -> str:
        word = _letters(source)
        found = (
            next((best[one] for one in _contexts(word, place) if one in best), ())
            for place in range(len(word))
        )
        return " ".join(symbol for outcome in found for symbol in outcome)

    return apply


def aligned(pairs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
    """Returns what each letter of a word stands for, [letters] by word.

    Viterbi training: the alignment of a word has the greatest product of the probabilities of its
    letters' outcomes, which are their shares in the alignments of the iteration before; at first,
    among all that letters and symbols at about the same place can be.

    Args:
        pairs: Words with their symbols, at most two for each letter.
    """
    counts = Counter(
        (letter, tuple(symbols[end - taken : end]))
        for word, symbols in pairs
        for place, letter in enumerate(word)
        for taken in range(_MOST + 1)
        for end in range(taken, len(symbols) + 1)
        if abs(end / len(symbols) - (place + 1) / len(word)) < _NEAR
    )
    found: list[list[Outcome]] = []
    for _ in range(_ITERATIONS):
        totals = Counter[str]()
        for (letter, _), count in counts.items():
            totals[letter] += count
        costs = {
            (letter, outcome): math.log(totals[letter] / count)
            for (letter, outcome), count in counts.items()
        }
        found = [_best(word, symbols, costs) for word, symbols in pairs]
        counts = Counter(
            (letter, outcome)
            for (word, _), outcomes in zip(pairs, found, strict=True)
            for letter, outcome in zip(word, outcomes, strict=True)
        )
    return found


def _best(
    word: str, symbols: Sequence[str], costs: Mapping[tuple[str, Outcome], float]
) -> list[Outcome]:
    """Returns the outcomes of a word's letters, in order all of its symbols, of the least cost."""
    # By the number of symbols that the letters so far stand for: the cost, and the outcomes.
    paths: dict[int, tuple[float, list[Outcome]]] = {0: (0.0, [])}
    for place, letter in enumerate(word):
        left = len(word) - place - 1
        longer: dict[int, tuple[float, list[Outcome]]] = {}
        for start, (cost, outcomes) in paths.items():
            for end in range(start, min(start + _MOST, len(symbols)) + 1):
                if end + _MOST * left < len(symbols):
                    continue
                outcome = tuple(symbols[start:end])
                total = cost + costs.get((letter, outcome), _UNSEEN)
                total += _NOT_ONE * (end - start != 1)
                if end not in longer or total < longer[end][0]:
                    longer[end] = (total, [*outcomes, outcome])
        paths = longer
    return paths[len(symbols)][1]


def _letters(text: str) -> str:
    return "".join(text.lower().split())


def _contexts(word: str, place: int) -> Iterator[tuple[str, str, str]]:
    """Yields letters to the left, a letter and letters to the right, from the longest context."""
    padded = _EDGE * _WIDEST + word + _EDGE * _WIDEST
    center = place + _WIDEST
    for left, right in _CONTEXTS:
        yield padded[center - left : center], word[place], padded[center + 1 : center + 1 + right]
