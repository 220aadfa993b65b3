"""Baselines of pre-training: tokens by frequency and by neighbors, pairs by word overlap."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.tasks.pretraining import baselines
from pipelines.tasks.pretraining.chunks import Tokens
from pipelines.tasks.pretraining.neighbor_counts import NeighborCounts


def test_a_shown_token_may_be_the_original_one(bert):
    """Without context: each is predicted, and no other token but the most frequent is."""
    inputs, target = bert.data.arrays("test")
    predicted = baselines.as_shown(bert.data)("test")
    original = target["masked_lm"]
    shown = np.take_along_axis(inputs["token_ids"], inputs["mask_positions"], 1)
    kept = (shown == original) & (original > 0)
    assert kept.any()
    unigram = bert.data.counts.unigram
    correct = (predicted["token"] == original) & (original > 0)
    assert (kept | (original == unigram.argmax()))[correct].all()
    assert (predicted["log_probability"][kept] > np.log(unigram[original[kept]])).all()
    other = (shown != bert.data.vocabulary.index("[MASK]")) & ~kept & (original > 0)
    assert (predicted["log_probability"][other] < np.log(unigram[original[other]])).all()


@pytest.mark.parametrize("reach", [1, 2])
def test_neighbor_counts_predict_each_mask_from_those_beside_it(bert, reach):
    inputs, target = bert.data.arrays("test")
    predicted = baselines.neighbor_counts(bert.data, reach)("test")
    for row in (0, len(target["masked_lm"]) - 1):
        text = np.pad(inputs["token_ids"][row], reach)
        for slot in np.flatnonzero(target["masked_lm"][row]):
            original = target["masked_lm"][row, slot]
            position = inputs["mask_positions"][row, slot] + reach
            steps = np.arange(1, reach + 1)
            ((log_p,),) = bert.data.counts.log_probabilities(
                text[np.newaxis, position - steps], text[np.newaxis, position + steps]
            )
            assert predicted["token"][row, slot] == log_p.argmax()
            np.testing.assert_allclose(
                predicted["log_probability"][row, slot], log_p[original], rtol=1e-5
            )


def test_more_neighbors_predict_and_detect_more(bert):
    scores = [baseline.validation for baseline in bert.task.baselines(bert.data)]
    perplexities = [score["masked_lm_perplexity"] for score in scores]
    assert perplexities == sorted(perplexities, reverse=True)
    names = [baseline.name for baseline in bert.task.baselines(bert.data)]
    assert names == [
        *("most frequent token, prior", "token as shown, prior"),
        *("neighbor counts, word overlap", "counts of four neighbors, word overlap"),
    ]


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

    ordinary = np.arange(25) > 4
    ids, segments, labels = drawn(300)
    classify = baselines.overlap_classifier(ids, segments, labels, ordinary)
    ids, segments, labels = drawn(200)
    probabilities = classify(ids, segments)
    assert probabilities.shape == (200,)
    assert ((probabilities > 0.5) == labels).mean() > 0.9
    # Special tokens do not count.
    changed = np.where(ids == 2, 4, ids)
    np.testing.assert_allclose(classify(changed, segments), probabilities)


def test_without_anything_to_fit_no_token_is_surprising():
    """Of one document none is left to fit to, and of one word no other is drawn."""
    tokens = Tokens(np.full(600, 5, np.int32), np.arange(0, 601, 10), np.array([0, 60]))
    counts = NeighborCounts(tokens.ids, 6)
    data: Any = SimpleNamespace(tokens={"train": tokens}, vocabulary=range(6), counts=counts)
    detect = baselines.surprisal(data)
    probabilities = detect(tokens.ids.reshape(60, 10))
    assert probabilities.shape == (60, 10)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
