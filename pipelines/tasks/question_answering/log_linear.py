"""A log-linear reader, the classical baseline of question answering.

After the logistic regression of Rajpurkar et al. 2016, section 5: two linear models tell the first
and the last word of an answer by its features. Those of a word are the words around it and their
shapes, its place in the passage, and where words of the question are near it; each is crossed with
each word of the question that the passage lacks, the main ones with pairs of such words, so that a
model tells which words answer to "Which street". Features are hashed; training is by averaged
stochastic gradient descent (Bottou 2010).
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse
from sklearn.linear_model import SGDClassifier

from pipelines.predictions import Predictions
from pipelines.tasks.question_answering.baselines import Reader
from pipelines.tasks.question_answering.data import tokens_of
from pipelines.tasks.question_answering.decoding import MAX_TOKENS

# Beyond these the baseline would take longer than the network.
_MAX_WORDS = 150_000
_BUCKETS = 1 << 18
# How many of a word's features are crossed with pairs of words, too.
_FOR_PAIRS = 4
_FAR = 6
_BEYOND = ""


def log_linear_reader(columns: Mapping[str, np.ndarray]) -> Reader:
    """Fits the two models on questions, at most as many as have 150,000 words in their passages.

    Args:
        columns: "question", "context", "answers", "answer_start" and "spans" of the training split,
            as in `data.Questions`.

    Returns:
        A reader, which uses question, context and spans alone.
    """
    rows, starts, ends = [], [], []
    for question, context, answers, start, spans in zip(
        *(columns[name] for name in ("question", "context", "answers", "answer_start", "spans")),
        strict=True,
    ):
        words = _word_spans(spans)
        rows.append(_features(question, context, words))
        stop = start + len(answers[0].rstrip())
        touched = (words[:, 0] < stop) & (words[:, 1] > start)
        first, last = np.flatnonzero(touched)[[0, -1]] if touched.any() else (-1, -1)
        starts.append(np.arange(len(words)) == first)
        ends.append(np.arange(len(words)) == last)
        if sum(map(len, starts)) > _MAX_WORDS:
            break
    matrix = _matrix(rows)
    models = [
        SGDClassifier(
            loss="log_loss", alpha=1e-6, max_iter=15, tol=None, average=True, random_state=0
        ).fit(matrix, np.concatenate(targets))
        for targets in (starts, ends)
    ]
    return lambda columns: _predict(models, columns)


def _predict(models: Sequence[SGDClassifier], columns: Mapping[str, np.ndarray]) -> Predictions:
    found = []
    for question, context, spans in zip(
        *(columns[name] for name in ("question", "context", "spans")), strict=True
    ):
        words = _word_spans(spans)
        if not len(words):
            found.append((0, 0))
            continue
        matrix = _matrix([_features(question, context, words)])
        start, end = (-np.logaddexp(0, -model.decision_function(matrix)) for model in models)
        both = start[:, None] + end
        place = np.arange(len(words))
        more = place - place[:, None]
        both = np.where((more >= 0) & (more < MAX_TOKENS), both, -np.inf)
        first, last = np.unravel_index(both.argmax(), both.shape)
        found.append(tokens_of(spans, words[first, 0], words[last, 1]))
    start, end = np.array(found).T
    return Predictions(columns, {"start": start, "end": end})


def _word_spans(spans: np.ndarray) -> np.ndarray:
    """Returns start and end of each word, int bytes [words, 2]; its tokens share them."""
    real = spans[spans[:, 1] > spans[:, 0]]
    return np.unique(real, axis=0)


def _features(question: bytes, context: bytes, spans: np.ndarray) -> np.ndarray:
    """Returns the features of each word of a passage, int [words, features], in `_BUCKETS`."""
    words = [context[start:end].decode().lower() for start, end in spans]
    shapes = [_shape(context[start:end].decode()) for start, end in spans]
    plain = [re.sub(r"\d", "0", word) for word in words]
    asked = re.findall(r"\w+|[^\w\s]", question.decode().lower())
    matched = np.array([word in asked and word.isalnum() for word in words], bool)
    known = set(words)
    about = [word for word in asked if word not in known]
    places = np.flatnonzero(matched)
    rows = []
    for i in range(len(words)):
        near = places[np.abs(places - i).argmin()] - i if len(places) else None
        after = places[places > i]
        distance = "none" if near is None else str(int(np.clip(near, -_FAR, _FAR)))
        rows.append(
            [
                f"match={_at(matched, i - 1)}{_at(matched, i)}{_at(matched, i + 1)}",
                f"near={distance}",
                f"shapes={_at(shapes, i - 1)} {shapes[i]} {_at(shapes, i + 1)}",
                *(f"word{k}={_at(plain, i + k)}" for k in (0, -1, 1, -2, 2)),
                *(f"shape{k}={_at(shapes, i + k)}" for k in (-1, 0, 1)),
                f"ends={words[i][-3:]}",
                f"between={_marks(words, i, near)}",
                f"after={len(after) > 0}",
                f"first={min(i, _FAR)}",
                f"last={min(len(words) - 1 - i, _FAR)}",
            ]
        )
    crossed = _crossed(rows, ["", *dict.fromkeys(about)])
    pairs = dict.fromkeys(map(" ".join, itertools.pairwise(about)))
    of_pairs = _crossed([row[:_FOR_PAIRS] for row in rows], list(pairs))
    return np.concatenate([crossed, of_pairs], axis=1)


def _crossed(rows: Sequence[Sequence[str]], others: Sequence[str]) -> np.ndarray:
    """Returns the hashed pairs of each feature of a row with each other one, int [rows, pairs]."""
    own = np.array([[zlib.crc32(name.encode()) for name in row] for row in rows], np.int64)
    other = np.array([zlib.crc32(f"? {name}".encode()) for name in others], np.int64)
    mixed = (own[:, :, None] * 31 + other * 1_000_003) % ((1 << 31) - 1)
    return (mixed % _BUCKETS).reshape(len(rows), own.shape[1] * len(other))


def _marks(words: Sequence[str], i: int, near: int | None) -> str:
    """Returns the punctuation between a word and the nearest one that the question has, too."""
    if near is None:
        return "none"
    first, last = sorted((i, i + near))
    return "".join(sorted({word for word in words[first:last] if not word.isalnum()}))


def _at(values: Sequence | np.ndarray, i: int) -> str:
    return str(values[i]) if 0 <= i < len(values) else _BEYOND


def _shape(word: str) -> str:
    """Returns the kinds of a word's characters: "Xx" of "Main", "0" of "62701", "0x" of "92nd"."""
    kinds = re.sub(r"[^\W\d_]", lambda found: "X" if found.group().isupper() else "x", word)
    return re.sub(r"(.)\1+", r"\1", re.sub(r"\d", "0", kinds))


def _matrix(rows: Sequence[np.ndarray]) -> scipy.sparse.csr_matrix:
    """Returns the features of all words as a sparse matrix, float32 [words, `_BUCKETS`]."""
    lengths = np.concatenate([np.full(len(row), row.shape[1]) for row in rows])
    columns = np.concatenate([row.ravel() for row in rows])
    ones = np.ones(len(columns), np.float32)
    pointers = np.concatenate([[0], np.cumsum(lengths)])
    matrix = scipy.sparse.csr_matrix((ones, columns, pointers), (len(lengths), _BUCKETS))
    matrix.sum_duplicates()
    return matrix
