"""Metrics of token classification: F1, precision and recall of entities, as conlleval has them."""

from __future__ import annotations

import numpy as np
from seqeval import metrics
from seqeval.metrics.sequence_labeling import get_entities

from pipelines.predictions import Predictions, Scores


def reduce(predictions: Predictions) -> Predictions:
    """Reduces predicted "tags" and examples "tags", object arrays [texts] of tuples, to counts.

    They are "entities", those that are rightly predicted, predicted and true, and "words", those
    with the right tag and all.
    """
    entities, words = [], []
    pairs = zip(predictions.examples["tags"], predictions.predicted["tags"], strict=True)
    for true_tags, predicted_tags in pairs:
        true, predicted = (set(get_entities(list(tags))) for tags in (true_tags, predicted_tags))
        entities.append((len(true & predicted), len(predicted), len(true)))
        words.append((sum(map(str.__eq__, true_tags, predicted_tags)), len(true_tags)))
    return predictions.reduced({"entities": np.array(entities), "words": np.array(words)})


def scores(predictions: Predictions) -> Scores:
    """Scores what `reduce` returned.

    Returns:
        f1, precision and recall of entities, over all of them; word_accuracy.
    """
    right, predicted, true = predictions.total("entities")
    right_words, words = predictions.total("words")
    return {
        "f1": float(2 * right / max(1, predicted + true)),
        "precision": float(right / max(1, predicted)),
        "recall": float(right / max(1, true)),
        "word_accuracy": float(right_words / words),
    }


def f1_by_type(predictions: Predictions) -> dict[str, tuple[float, int]]:
    """Returns F1 and number of true entities of each type that occurs."""
    report = metrics.classification_report(
        [list(tags) for tags in predictions.examples["tags"]],
        [list(tags) for tags in predictions.predicted["tags"]],
        output_dict=True,
        zero_division=0,
    )
    return {
        name: (float(values["f1-score"]), int(values["support"]))
        for name, values in report.items()
        if not name.endswith(" avg") and values["support"]
    }
