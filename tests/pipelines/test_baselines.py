"""Baselines: scored on both splits, compared on validation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from pipelines.baselines import class_probabilities, scored, strongest
from pipelines.predictions import Predictions, Scores
from tests.pipelines import samples

TARGETS = {"validation": np.array([0, 1, 1, 0]), "test": np.array([1, 1, 0])}


def zeros(split: str) -> Predictions:
    """Returns predictions that are always 0."""
    return Predictions({"target": TARGETS[split]}, {"value": np.zeros(len(TARGETS[split]))})


def accuracy(predictions: Predictions) -> Scores:
    right = predictions.predicted["value"] == predictions.examples["target"]
    return {"accuracy": float(np.mean(right))}


def test_a_baseline_has_the_scores_of_each_split_and_the_predictions_of_test():
    baseline = scored("always 0", accuracy, zeros)
    assert baseline.name == "always 0"
    assert baseline.validation == {"accuracy": 0.5}
    assert baseline.test == {"accuracy": 1 / 3}
    np.testing.assert_array_equal(baseline.predictions.examples["target"], TARGETS["test"])


SCORES = st.lists(st.integers(0, 9), min_size=1, max_size=6)


@given(SCORES, st.booleans())
def test_the_strongest_baseline_is_the_best_on_validation_whatever_its_test(scores, greater):
    several = [
        samples.baseline(f"number {place}", {"score": score, "other": -score}, {"score": -score})
        for place, score in enumerate(scores)
    ]
    chosen = strongest(several, "score", greater)
    assert chosen in several
    assert chosen.validation["score"] == (max(scores) if greater else min(scores))


def test_classes_that_a_classifier_was_not_fitted_on_get_probability_0():
    inputs = np.array([[0.0], [0.1], [5.0], [5.1]])
    classifier = LogisticRegression().fit(inputs, [1, 1, 3, 3])
    probabilities = class_probabilities(classifier, inputs, 5)
    assert probabilities.shape == (4, 5)
    assert probabilities.dtype == np.float32
    assert not np.any(probabilities[:, [0, 2, 4]])
    np.testing.assert_allclose(probabilities[:, [1, 3]], classifier.predict_proba(inputs))
    assert probabilities.argmax(-1).tolist() == [1, 1, 3, 3]
