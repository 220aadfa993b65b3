"""Baselines of translation: the source itself, a dictionary, and the most similar training pair.

From letters to symbols there are letter-to-sound rules as well, see `letter_to_sound.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from pipelines.baselines import Baseline, scored
from pipelines.predictions import Predictions
from pipelines.tasks.translation.data import TEXTS, ParallelTexts
from pipelines.tasks.translation.letter_to_sound import letter_to_sound
from pipelines.tasks.translation.metrics import reduce, scores

# With more pairs, baselines would take longer than the network.
_MAX_PAIRS = 20_000
_MAX_SIMILAR = 100_000
_ITERATIONS = 10
_CHUNK = 512


def baselines(data: ParallelTexts, *, characters: bool, symbols: bool) -> list[Baseline]:
    """Returns the source itself, IBM Model 1, the most similar training pair, and rules of letters.

    The last ones are for symbols of characters.

    Args:
        data: The training pairs are the first 100,000 of its training split.
        characters: Whether sources are read letter by letter.
        symbols: Whether targets are symbols separated by spaces.
    """
    source, target = (list(data.columns["train"][name][:_MAX_SIMILAR]) for name in TEXTS)
    replaced = word_for_word(source, target, characters=characters)
    translators: dict[str, Callable[[list[str]], list[str]]] = {
        "the source as it is": list,
        "word for word": lambda texts: [replaced(text) for text in texts],
        "the most similar training pair": most_similar(source, target, characters=characters),
    }
    if characters and symbols:
        rules = letter_to_sound(source[:_MAX_PAIRS], target[:_MAX_PAIRS])
        translators["letter-to-sound rules"] = lambda texts: [rules(text) for text in texts]

    def predict(translate: Callable[[list[str]], list[str]], split: str) -> Iterator[Predictions]:
        columns = data.raw(split)
        for start in range(0, len(columns["source"]), _CHUNK):
            part = {name: column[start : start + _CHUNK] for name, column in columns.items()}
            found = [text.encode() for text in translate(part["source"].tolist())]
            yield Predictions(part, {"translation": np.array(found, object)})

    counts = functools.partial(reduce, symbols=symbols)
    return [
        scored(name, scores, functools.partial(predict, translate), counts)
        for name, translate in translators.items()
    ]


def word_for_word(
    sources: Sequence[str], targets: Sequence[str], *, characters: bool
) -> Callable[[str], str]:
    """Trains a dictionary and replaces each word of a source with its most probable translation.

    IBM Model 1 (Brown et al. 1993) with ten iterations of expectation maximization, over lowercased
    words and without the empty source word. Unknown words, punctuation marks and initial capital
    letters stay. At most 20,000 pairs are used.

    Args:
        sources: Texts.
        targets: Their translations.
        characters: Whether each letter of a source is a word, and spaces separate targets.
    """
    unit = re.compile(r"\S" if characters else r"\w+")
    numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})

    def number(side: int, words: list[str]) -> np.ndarray:
        table = numbers[side]
        return np.array([table.setdefault(word, len(table)) for word in words], np.int64)

    codes, groups, count = [], [], 0
    for source, target in zip(sources[:_MAX_PAIRS], targets[:_MAX_PAIRS], strict=True):
        own = number(0, unit.findall(source.lower()))
        other = number(1, target.split() if characters else unit.findall(target.lower()))
        if not len(own) or not len(other):
            continue
        codes.append((own[np.newaxis] << 32 | other[:, np.newaxis]).ravel())
        groups.append(np.repeat(np.arange(count, count + len(other)), len(own)))
        count += len(other)
    if not codes:
        return lambda source: source
    pairs, code = np.unique(np.concatenate(codes), return_inverse=True)
    word, group, probability = pairs >> 32, np.concatenate(groups), np.ones(len(pairs))
    for _ in range(_ITERATIONS):
        aligned = probability[code] / np.bincount(group, probability[code])[group]
        expected = np.bincount(code, aligned)
        probability = expected / np.bincount(word, expected)[word]
    translations = list(numbers[1])
    order = np.lexsort((-probability, word))
    first = order[np.unique(word[order], return_index=True)[1]]
    best = {int(word[i]): translations[pairs[i] & 0xFFFFFFFF] for i in first}

    def replaced(found: re.Match[str]) -> str:
        own = found.group()
        other = best.get(numbers[0].get(own.lower(), -1), own)
        if characters:
            return f"{other} "
        return other.capitalize() if own[0].isupper() else other

    return lambda source: unit.sub(replaced, source).strip()


def most_similar(
    sources: Sequence[str], targets: Sequence[str], *, characters: bool
) -> Callable[[Sequence[str]], list[str]]:
    """Returns the function from sources to the translations of the most similar training sources.

    Similarity is the cosine of TF-IDF vectors of words, or of one to four letters in a row.
    """
    if characters:
        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    else:
        vectorizer = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    known = vectorizer.fit_transform(sources).T.tocsc()

    def translate(texts: Sequence[str]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(texts), _CHUNK):
            similarity = vectorizer.transform(texts[start : start + _CHUNK]) @ known
            found += [targets[i] for i in np.asarray(similarity.argmax(axis=1)).ravel()]
        return found

    return translate
