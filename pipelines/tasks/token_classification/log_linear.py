"""A log-linear tagger, the classical baseline of tagging: a maximum-entropy Markov model.

After McCallum et al., "Maximum Entropy Markov Models for Information Extraction and Segmentation",
2000: a multinomial logistic regression tells the tag of a word by its features and by the tag of
the word before, and Viterbi's algorithm finds the most probable tags of a text. Features of a word
are the words around it, alone and in pairs and triples, their shapes and lengths, how it begins and
ends, its place from the start and from the end, alone and with the word, and the tag before, alone
and with the word and its shape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import scipy.sparse
from sklearn.linear_model import LogisticRegression

from pipelines.datasets.text_columns import PackedValues
from pipelines.tasks.token_classification.baselines import Tagger

# Beyond these words the baseline would take longer than the network; of features, the most frequent
# are kept.
_MAX_WORDS = 150_000
_MAX_FEATURES = 200_000
# Places from here on are one, as are lengths.
_FAR = 8
_LONG = 6
_REACH = 3
_BEYOND = "<>"


def log_linear_tagger(words: PackedValues, tags: PackedValues) -> Tagger:
    """Fits the model on texts, at most as many as have 150,000 words.

    Args:
        words: Tuples of words [texts].
        tags: Their tags.
    """
    rows: list[list[str]] = []
    targets: list[str] = []
    for text, answer in zip(words, tags, strict=True):
        before = (_BEYOND, *answer[:-1])
        for own, context, last in zip(_features(text), _contexts(text), before, strict=True):
            rows.append([*own, *_after(last, context)])
        targets.extend(answer)
        if len(targets) > _MAX_WORDS:
            break
    if len(set(targets)) == 1:
        return lambda text: targets[:1] * len(text)
    counts = Counter(chain.from_iterable(rows)).most_common(_MAX_FEATURES)
    places = {name: index for index, (name, _) in enumerate(counts)}
    model = LogisticRegression(C=0.5, max_iter=200).fit(_matrix(rows, places), targets)
    names = model.classes_.tolist()
    # Of two tags there is one row of coefficients, that of the second. The last row of weights is
    # that of unknown features.
    two = len(names) == 2
    coefficients = np.concatenate([-model.coef_, model.coef_]) / 2 if two else model.coef_
    bias = model.intercept_ * [-0.5, 0.5] if two else model.intercept_
    weights = np.concatenate([coefficients.T, np.zeros((1, len(names)))])

    def tag(text: Sequence[str]) -> list[str]:
        if not text:
            return []
        base = np.stack([weights[_indices(row, places)].sum(0) for row in _features(text)]) + bias
        contexts = _contexts(text)
        first = weights[_indices(_after(_BEYOND, contexts[0]), places)].sum(0)
        moves = [
            weights[[_indices(_after(before, context), places) for before in names]].sum(1)
            for context in contexts[1:]
        ]
        return [names[index] for index in _most_probable(base, first, moves)]

    return tag


def _most_probable(base: np.ndarray, first: np.ndarray, moves: Sequence[np.ndarray]) -> list[int]:
    """Returns the most probable tags of a text, by Viterbi's algorithm.

    Args:
        base: Logits without the tag before, float [words, tags].
        first: What the start of the text adds to those of the first word, float [tags].
        moves: What each tag before adds to those of each other word, float [tags before, tags].
    """
    best, back = _log_softmax(base[0] + first), []
    for own, move in zip(base[1:], moves, strict=True):
        total = best[:, np.newaxis] + _log_softmax(own + move)
        back.append(total.argmax(0))
        best = total.max(0)
    path = [int(best.argmax())]
    for came in reversed(back):
        path.append(int(came[path[-1]]))
    return path[::-1]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def _matrix(rows: Sequence[Sequence[str]], places: Mapping[str, int]) -> scipy.sparse.csr_matrix:
    """Returns the known features of all words as a sparse matrix, float64 [words, features]."""
    found = [[places[name] for name in row if name in places] for row in rows]
    pointers = np.cumsum([0, *map(len, found)])
    indices = np.fromiter(chain.from_iterable(found), np.int32, pointers[-1])
    return scipy.sparse.csr_matrix(
        (np.ones(len(indices)), indices, pointers), (len(rows), len(places))
    )


def _indices(names: Sequence[str], places: Mapping[str, int]) -> list[int]:
    return [places.get(name, -1) for name in names]


def _features(text: Sequence[str]) -> list[list[str]]:
    """Returns the features of each word but those of the tag before."""
    plain = [_plain(word) for word in text]
    shapes = [_shape(word) for word in text]
    rows = []
    for i, word in enumerate(plain):
        near = {k: _at(plain, i + k) for k in range(-_REACH, _REACH + 1)}
        row = [f"word{k}={other}" for k, other in near.items()]
        row += [f"words{k}={near[k]} & {near[k + 1]}" for k in range(-_REACH, _REACH)]
        row.append(f"words={near[-1]} & {word} & {near[1]}")
        for k in range(-1, 2):
            other = _at(text, i + k)
            row += [f"shape{k}={_at(shapes, i + k)}", f"length{k}={min(len(other), _LONG)}"]
            row.append(f"marked{k}={other[-1:] in ',;.'}")
        row += [f"begins={word[:n]}" for n in (2, 3)] + [f"ends={word[-n:]}" for n in (2, 3)]
        places = f"first={min(i, _FAR)}", f"last={min(len(plain) - 1 - i, _FAR)}"
        row += [*places, *(f"{place} & {word}" for place in places)]
        rows.append(row)
    return rows


def _contexts(text: Sequence[str]) -> list[tuple[str, str, str]]:
    """Returns what is combined with the tag before, for each word."""
    return [("", f"shape={_shape(word)}", f"word={_plain(word)}") for word in text]


def _after(before: str, context: Sequence[str]) -> list[str]:
    return [f"after={before} {name}" for name in context]


def _at(values: Sequence[str], i: int) -> str:
    return values[i] if 0 <= i < len(values) else _BEYOND


def _plain(word: str) -> str:
    return re.sub(r"\d", "0", word.lower()).strip(".,;")


def _shape(word: str) -> str:
    """Returns the kinds of a word's characters: "Xx," of "Main,", "0" of "62701"."""
    kinds = re.sub(r"[^\W\d_]", lambda found: "X" if found.group().isupper() else "x", word)
    return re.sub(r"(.)\1+", r"\1", re.sub(r"\d", "0", kinds))
