"""Metrics of token classification: F1, precision and recall of entities, as conlleval has them."""

from __future__ import annotations

from seqeval import metrics

from pipelines.predictions import Predictions, Scores


def scores(predictions: Predictions) -> Scores:
    """Scores predicted "tags" against examples "tags", each an object array [texts] of tuples.

    Returns:
        f1, precision and recall of entities, over all of them; word_accuracy.
    """
    truth = [list(tags) for tags in predictions.examples["tags"]]
    predicted = [list(tags) for tags in predictions.predicted["tags"]]
    return {
        "f1": float(metrics.f1_score(truth, predicted, zero_division=0)),
        "precision": float(metrics.precision_score(truth, predicted, zero_division=0)),
        "recall": float(metrics.recall_score(truth, predicted, zero_division=0)),
        "word_accuracy": float(metrics.accuracy_score(truth, predicted)),
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
