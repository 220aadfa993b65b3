"""Baselines: simple methods that a network has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.predictions import Predictions, Scores, collected, joined


@dataclass(frozen=True)
class Baseline:
    """A simple method that a network has to beat.

    Attributes:
        name: Its name in tables and figures.
        validation: Its scores on the validation split.
        test: Its scores on the test split.
        predictions: A sample of its predictions on the test split, for figures; see
            `predictions.collected`.
        reduced: What scores need of all its predictions on the test split, for intervals.
        score: From that, also of a part of the examples, to scores.
    """

    name: str
    validation: Scores
    test: Scores
    predictions: Predictions
    reduced: Predictions
    score: Callable[[Predictions], Scores]


def scored(
    name: str,
    scores: Callable[[Predictions], Scores],
    predict: Callable[[str], Predictions | Iterable[Predictions]],
    reduce: Callable[[Predictions], Predictions] = lambda predictions: predictions,
) -> Baseline:
    """Returns a baseline with its scores on validation and on test.

    Args:
        name: Its name in tables and figures.
        scores: From what `reduce` leaves of predictions to scores.
        predict: From the name of a split to predictions of it, whole or in batches.
        reduce: The task's `reduce`, where it has one.
    """

    def batches(split: str) -> Iterable[Predictions]:
        found = predict(split)
        return [found] if isinstance(found, Predictions) else found

    validation = joined(map(reduce, batches("validation")))
    test, sample = collected(batches("test"), reduce)
    return Baseline(name, scores(validation), scores(test), sample, test, scores)


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
