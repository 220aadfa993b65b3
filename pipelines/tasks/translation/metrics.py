"""Translation: what translations are scored by, and what a network must beat."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

import nltk
import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sklearn.feature_extraction.text import TfidfVectorizer

from pipelines.baselines import Baseline, scored
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.translation.data import TEXTS, ParallelTexts

_BLEU, _CHRF = BLEU(force=True), CHRF()
# Beyond these, baselines would take longer than the network.
_MOST_PAIRS = 20_000
_ROUNDS = 10
_CHUNK = 512


def scores(predictions: Predictions, *, symbols: bool) -> Scores:
    """Scores a "translation" of each example against its "target".

    Args:
        predictions: With "translation", bytes [examples]; from a network also with the
            "log_likelihood" of the target, that with a "shuffled" source, and "target_tokens".
        symbols: Whether targets are symbols with spaces between, as phones are.

    Returns:
        bleu and chrf, 0 to 100 (sacrebleu: Post 2018, Popović 2015); exact_match; with symbols
        token_error_rate, edits per symbol of the targets, which of phones is the phone error rate;
        from a network, perplexity per target token, with the true and with a shuffled source.
    """
    found = [text.decode() for text in predictions.predicted["translation"]]
    pairs = list(zip(found, predictions.examples["target"], strict=True))
    bleu, chrf = (np.sum(counts, 0) for counts in zip(*(_counts(*p) for p in pairs), strict=True))
    values = {
        "bleu": _BLEU._compute_score_from_stats(bleu.tolist()).score,
        "chrf": _CHRF._compute_score_from_stats(chrf.tolist()).score,
        "exact_match": float(np.mean([translation == target for translation, target in pairs])),
    }
    if symbols:
        edits, symbols_of_targets = np.sum([_edits(*pair) for pair in pairs], 0)
        values["token_error_rate"] = float(edits / symbols_of_targets)
    if "log_likelihood" in predictions.predicted:
        tokens = predictions.predicted["target_tokens"].sum()
        for name, column in (("perplexity", "log_likelihood"), ("shuffled_perplexity", "shuffled")):
            values[name] = float(np.exp(-predictions.predicted[column].sum() / tokens))
    return values


# The bootstrap asks for the same again and again. The sums of what sacrebleu counts in each text
# are all that it computes its scores from; it keeps them to itself, for its own bootstrap.
@functools.lru_cache(maxsize=1 << 17)
def _counts(translation: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    counted = (
        metric._extract_corpus_statistics([translation], [[target]])[0] for metric in (_BLEU, _CHRF)
    )
    bleu, chrf = (np.array(counts) for counts in counted)
    return bleu, chrf


@functools.lru_cache(maxsize=1 << 17)
def _edits(translation: str, target: str) -> tuple[int, int]:
    symbols = target.split()
    return nltk.edit_distance(translation.split(), symbols), len(symbols)


def sentence_chrf(predictions: Predictions) -> np.ndarray:
    """Returns chrF of each translation, float [examples]."""
    pairs = zip(predictions.predicted["translation"], predictions.examples["target"], strict=True)
    return np.array(
        [
            _CHRF._compute_score_from_stats(_counts(found.decode(), target)[1].tolist()).score
            for found, target in pairs
        ]
    )


def baselines(data: ParallelTexts, *, characters: bool, symbols: bool) -> list[Baseline]:
    """Returns what a network must beat.

    Args:
        data: Its training pairs are learned from.
        characters: Whether sources are read letter by letter.
        symbols: Whether targets are symbols with spaces between.
    """
    source, target = (data.columns["train"][name].tolist() for name in TEXTS)
    replaced = word_for_word(source, target, characters=characters)
    translators: dict[str, Callable[[list[str]], list[str]]] = {
        "the source as it is": list,
        "word for word": lambda texts: [replaced(text) for text in texts],
        "the most similar training pair": nearest_neighbour(source, target, characters=characters),
    }

    def answered(translate: Callable[[list[str]], list[str]], split: str) -> Predictions:
        columns = data.raw(split)
        found = [text.encode() for text in translate(columns["source"].tolist())]
        return Predictions(columns, {"translation": np.array(found, object)})

    score = functools.partial(scores, symbols=symbols)
    return [
        scored(name, score, functools.partial(answered, translate))
        for name, translate in translators.items()
    ]


def word_for_word(
    sources: Sequence[str], targets: Sequence[str], *, characters: bool
) -> Callable[[str], str]:
    """Learns a dictionary and replaces each word of a source by its most probable translation.

    IBM Model 1 (Brown et al. 1993) in ten rounds of expectation maximisation, over words without
    regard to case and with no word on the source's side standing for nothing. Unknown words,
    punctuation marks and initial capital letters stay. At most 20,000 pairs are used.

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
    for source, target in zip(sources[:_MOST_PAIRS], targets[:_MOST_PAIRS], strict=True):
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
    word, group, chance = pairs >> 32, np.concatenate(groups), np.ones(len(pairs))
    for _ in range(_ROUNDS):
        aligned = chance[code] / np.bincount(group, chance[code])[group]
        expected = np.bincount(code, aligned)
        chance = expected / np.bincount(word, expected)[word]
    translations = list(numbers[1])
    order = np.lexsort((-chance, word))
    first = order[np.unique(word[order], return_index=True)[1]]
    best = {int(word[i]): translations[pairs[i] & 0xFFFFFFFF] for i in first}

    def replaced(found: re.Match[str]) -> str:
        own = found.group()
        other = best.get(numbers[0].get(own.lower(), -1), own)
        if characters:
            return f"{other} "
        return other.capitalize() if own[0].isupper() else other

    return lambda source: unit.sub(replaced, source).strip()


def nearest_neighbour(
    sources: Sequence[str], targets: Sequence[str], *, characters: bool
) -> Callable[[Sequence[str]], list[str]]:
    """Answers with the translation of the training source that is most like a source.

    Likeness is the cosine of TF-IDF vectors of words, or of one to four letters in a row.
    """
    if characters:
        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    else:
        vectorizer = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    known = vectorizer.fit_transform(sources).T.tocsc()

    def answer(asked: Sequence[str]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(asked), _CHUNK):
            likeness = vectorizer.transform(asked[start : start + _CHUNK]) @ known
            found += [targets[i] for i in np.asarray(likeness.argmax(axis=1)).ravel()]
        return found

    return answer
