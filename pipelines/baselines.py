"""Baselines: simple methods that a network has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.predictions import Predictions, Scores


@dataclass(frozen=True)
class Baseline:
    """A simple method that a network has to beat.

    Attributes:
        name: Its name in tables and figures.
        validation: Its scores on the validation split.
        test: Its scores on the test split.
        predictions: Its predictions on the test split, for figures and intervals.
        score: From such predictions, also a part of them, to scores.
    """

    name: str
    validation: Scores
    test: Scores
    predictions: Predictions
    score: Callable[[Predictions], Scores]


def scored(
    name: str,
    scores: Callable[[Predictions], Scores],
    predict: Callable[[str], Predictions],
) -> Baseline:
    """Returns a baseline with the scores of what `predict` returns for validation and for test."""
    validation, test = predict("validation"), predict("test")
    return Baseline(name, scores(validation), scores(test), test, scores)


def strongest(baselines: Sequence[Baseline], metric: str, greater_is_better: bool) -> Baseline:
    """Returns the baseline that is best on validation."""
    choose = max if greater_is_better else min
    return choose(baselines, key=lambda baseline: baseline.validation[metric])


def class_probabilities(classifier: Any, inputs: Any, classes: int) -> np.ndarray:
    """Returns a fitted scikit-learn classifier's probabilities, float32 [examples, classes].

    Args:
        classifier: Fitted on integer labels.
        inputs: [examples, ...], as it was fitted on.
        classes: Number of classes; those that it was not fitted on get probability 0.
    """
    probabilities = np.zeros((len(inputs), classes), np.float32)
    probabilities[:, classifier.classes_] = classifier.predict_proba(inputs)
    return probabilities
