"""Sentence pairs: probabilities, labels and the objective of each family."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines.predictions import Predictions
from pipelines.tasks.pretraining import sentence_pairs


def test_a_pair_that_is_as_probable_as_not_follows():
    predictions = Predictions(
        {"next_sentence": np.array([0, 0, 1])}, {"probability": np.array([0.5, 0.49, 0.9])}
    )
    assert sentence_pairs.labels(predictions).tolist() == [0, 1, 0]
    reduced = predictions.reduced(sentence_pairs.statistics(predictions, "next_sentence"))
    scores = sentence_pairs.scores(reduced, "next_sentence")
    assert scores == {"next_sentence_accuracy": pytest.approx(1 / 3)}


def test_the_probability_is_that_of_label_0():
    logits = tf.constant([[0.0, 0.0], [np.log(3.0), 0.0]])
    found = sentence_pairs.probability(logits)["probability"]
    np.testing.assert_allclose(found, [0.5, 0.75], rtol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("bert_tiny", "next_sentence"),
        ("albert_base", "sentence_order"),
        ("roberta_base", ""),
        ("lstm", ""),
    ],
)
def test_each_family_has_the_objective_of_its_paper(architecture, expected):
    assert sentence_pairs.published_task(architecture) == expected
