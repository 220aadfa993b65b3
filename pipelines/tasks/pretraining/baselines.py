"""Baselines of pre-training: frequencies and n-gram counts of tokens, and word overlap.

They predict under the names that the networks' predictions have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.tasks.pretraining.chunks import Tokens
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.masking import MASK
from pipelines.tasks.pretraining.neighbor_counts import COUNTED, NeighborCounts, neighbors

# Pairs that word overlap is fitted to.
_MAX_PAIRS = 10_000
# Of every five documents, four are counted, and the surprisal of tokens is fitted to the fifth.
_HELD_OUT = 5
_MAX_TOKENS = 200_000
_REPLACED_RATE = 0.15

# From the name of a split to predictions of it by name, each [examples, …].
Predict = Callable[[str], dict[str, np.ndarray]]
# From tokens, int [texts, tokens], to the probabilities that they are replaced.
Detect = Callable[[np.ndarray], np.ndarray]


def most_frequent(data: Segments) -> Predict:
    """Predicts the most frequent token of the training split at every mask."""
    unigram = data.unigram

    def predict(split: str) -> dict[str, np.ndarray]:
        _, target = data.arrays(split)
        original = target["masked_lm"]
        return {
            "token": np.full_like(original, unigram.argmax()),
            "log_probability": np.log(unigram)[original],
        }

    return predict


def as_shown(data: Segments) -> Predict:
    """Predicts the token that is shown at a chosen position; behind [MASK], the most frequent one.

    As many of the shown tokens are original as are random; so a token of frequency p is original
    with the probability p / (p + 1 / vocabulary). It reads no context.
    """
    unigram = data.unigram
    mask = data.vocabulary.index(MASK)

    def predict(split: str) -> dict[str, np.ndarray]:
        inputs, target = data.arrays(split)
        original = target["masked_lm"]
        shown = np.take_along_axis(inputs["token_ids"], inputs["mask_positions"], axis=1)
        kept = np.where(shown == mask, 0.0, unigram[shown] / (unigram[shown] + 1 / len(unigram)))
        probability = (1 - kept) * unigram[original] + kept * (original == shown)
        token = np.where(kept > unigram.max(), shown, unigram.argmax())
        return {"token": token, "log_probability": np.log(probability)}

    return predict


def neighbor_counts(data: Segments, reach: int = 1) -> Predict:
    """Predicts each masked token from those beside it, `reach` on each side, by n-gram counts."""

    def predict(split: str) -> dict[str, np.ndarray]:
        inputs, target = data.arrays(split)
        original = target["masked_lm"]
        row, slot = np.nonzero(original)
        position = inputs["mask_positions"][row, slot]
        before, after = neighbors(inputs["token_ids"], reach)
        token = np.zeros_like(original)
        log_probability = np.zeros(original.shape, np.float32)
        done = 0
        for log_p in data.counts.log_probabilities(before[row, position], after[row, position]):
            own = row[done : done + len(log_p)], slot[done : done + len(log_p)]
            token[own] = log_p.argmax(1)
            log_probability[own] = log_p[np.arange(len(log_p)), original[own]]
            done += len(log_p)
        return {"token": token, "log_probability": log_probability}

    return predict


def prior(data: Segments) -> Predict:
    """Gives both labels of a pair the same probability."""
    return lambda split: {"probability": np.full(data.sizes[split], 0.5)}


def word_overlap(data: Segments) -> Predict:
    """Judges masked pairs by `overlap_classifier`, fitted to one pass over the training split."""
    inputs, target = next(iter(data.train.take(_MAX_PAIRS).padded_batch(_MAX_PAIRS)))
    inputs, target = data.mask(inputs, target, tf.constant([0, 0]))
    classify = overlap_classifier(
        inputs["token_ids"].numpy(),
        inputs["segment_ids"].numpy(),
        target[data.sentence_task].numpy(),
        data.ordinary,
    )

    def predict(split: str) -> dict[str, np.ndarray]:
        inputs, _ = data.arrays(split)
        return {"probability": 1 - classify(inputs["token_ids"], inputs["segment_ids"])}

    return predict


def overlap_classifier(
    token_ids: np.ndarray, segment_ids: np.ndarray, labels: np.ndarray, ordinary: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fits logistic regression to the TF-IDF of two segments: their cosine and their difference.

    Args:
        token_ids: int [pairs, tokens], padded with zeros.
        segment_ids: 0 or 1, of the same shape.
        labels: 0 or 1, [pairs].
        ordinary: bool [vocabulary], which tokens count: special ones do not.

    Returns:
        A function from token ids and segment ids to the probability of label 1, [pairs].
    """
    tfidf = TfidfTransformer(sublinear_tf=True)

    def counts(ids: np.ndarray, segments: np.ndarray, number: int) -> sparse.csr_matrix:
        row, column = np.nonzero(ordinary[ids] & (segments == number))
        return sparse.csr_matrix(
            (np.ones(len(row)), (row, ids[row, column])), shape=(len(ids), len(ordinary))
        )

    def features(ids: np.ndarray, segments: np.ndarray) -> sparse.csr_matrix:
        a, b = (tfidf.transform(counts(ids, segments, number)) for number in (0, 1))
        cosine = sparse.csr_matrix(10 * a.multiply(b).sum(1))
        return sparse.hstack([cosine, a - b]).tocsr()

    tfidf.fit(sparse.vstack([counts(token_ids, segment_ids, number) for number in (0, 1)]))
    regression = LogisticRegression(max_iter=1000)
    regression.fit(features(token_ids, segment_ids), labels)
    return lambda ids, segments: regression.predict_proba(features(ids, segments))[:, 1]


def _first(tokens: Tokens, documents: Iterable[int], most: int) -> np.ndarray:
    """Returns the first tokens of some documents, int32 [at most `most`]."""
    found, size = [], 0
    for document in documents:
        bounds = tokens.bounds(document)
        found.append(tokens.ids[bounds[0] : bounds[-1]])
        size += len(found[-1])
        if size >= most:
            break
    return np.concatenate(found)[:most]


def surprisal(data: Segments, reach: int = 1) -> Detect:
    """Fits logistic regression to how probable tokens are by themselves and by their neighbors.

    There are `reach` neighbors on each side.

    Most of the training documents are counted; in the others tokens are replaced as in validation
    and test, and the regression learns to detect them.
    """
    tokens, random = data.tokens["train"], np.random.default_rng(0)
    every = range(tokens.count)
    counted = [number for number in every if number % _HELD_OUT] or every
    counts = NeighborCounts(_first(tokens, counted, COUNTED), len(data.vocabulary))
    held_out = _first(tokens, every[::_HELD_OUT], _MAX_TOKENS)
    position = np.flatnonzero(random.random(len(held_out) - 2) < _REPLACED_RATE) + 1
    corrupted = held_out.copy()
    before, after = (x[0, position] for x in neighbors(held_out[np.newaxis], reach=2))
    corrupted[position] = data.counts.draw(before, after, random)
    if (corrupted == held_out).all():
        return lambda ids: np.zeros(ids.shape)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))

    def features(ids: np.ndarray) -> np.ndarray:
        before, after = (x.reshape(-1, reach) for x in neighbors(ids, reach))
        return counts.features(before, ids.ravel(), after)

    regression.fit(features(corrupted[np.newaxis]), corrupted != held_out)
    return lambda ids: regression.predict_proba(features(ids))[:, 1].reshape(ids.shape)
