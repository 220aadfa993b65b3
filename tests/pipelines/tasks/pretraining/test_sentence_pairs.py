"""Pairs: told by the words that they have in common."""

from __future__ import annotations

import numpy as np

from pipelines.predictions import Predictions
from pipelines.tasks.pretraining import sentence_pairs


def test_pairs_about_the_same_are_told_from_others():
    random = np.random.default_rng(0)

    def drawn(count: int):
        labels = random.integers(0, 2, count)
        topics = random.integers(0, 2, count)
        a = 5 + 10 * topics[:, None] + random.integers(0, 10, (count, 6))
        b = 5 + 10 * (topics ^ labels)[:, None] + random.integers(0, 10, (count, 6))
        ids = np.concatenate([np.full((count, 1), 2), a, b, np.zeros((count, 2), int)], 1)
        segments = np.tile([0] * 7 + [1] * 6 + [0] * 2, (count, 1))
        return ids, segments, labels

    plain = np.arange(25) > 4
    ids, segments, labels = drawn(300)
    judge = sentence_pairs.words_in_common(ids, segments, labels, plain)
    ids, segments, labels = drawn(200)
    chance = judge(ids, segments)
    assert chance.shape == (200,)
    assert ((chance > 0.5) == labels).mean() > 0.9
    # What is not plain says nothing.
    changed = np.where(ids == 2, 4, ids)
    np.testing.assert_allclose(judge(changed, segments), chance)


def test_what_is_as_probable_as_not_follows():
    predictions = Predictions({}, {"probability": np.array([0.5, 0.49, 0.9])})
    assert sentence_pairs.labels(predictions).tolist() == [0, 1, 0]
