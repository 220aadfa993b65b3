"""Metrics of entities, by hand."""

from __future__ import annotations

import pytest

from pipelines.predictions import Predictions
from pipelines.tasks.token_classification import metrics
from pipelines.tasks.token_classification.data import as_column
from pipelines.tasks.token_classification.metrics import f1_by_type


def predictions(*rows: tuple[str, str]) -> Predictions:
    """Pairs of true and predicted tags, with spaces between the tags."""
    sides = zip(*rows, strict=True)
    truth, predicted = (as_column([text.split() for text in side]) for side in sides)
    return Predictions({"tags": truth}, {"tags": predicted})


def test_scores_count_whole_entities_over_all_texts():
    found = predictions(
        ("B-A I-A O B-B", "B-A I-A O B-A"),  # One right, one of another type.
        ("B-A O", "O O"),  # One missed.
        ("O B-A I-A O", "O B-A O O"),  # One too short.
        ("O", "B-B"),  # One too many.
    )
    scores = metrics.scores(metrics.reduce(found))
    # One of four found ones, one of four true ones.
    assert scores["precision"] == pytest.approx(1 / 4)
    assert scores["recall"] == pytest.approx(1 / 4)
    assert scores["f1"] == pytest.approx(1 / 4)
    assert scores["word_accuracy"] == pytest.approx(7 / 11)


def test_precision_and_recall_are_told_apart():
    scores = metrics.scores(metrics.reduce(predictions(("B-A O B-A B-B O", "B-A O O O O"))))
    assert (scores["precision"], scores["recall"]) == (1, pytest.approx(1 / 3))
    assert scores["f1"] == pytest.approx(1 / 2)


def test_without_any_entity_scores_are_zero_and_accuracy_is_not():
    assert metrics.scores(metrics.reduce(predictions(("O O", "O O")))) == {
        "f1": 0.0,
        "precision": 0.0,
        "recall": 0.0,
        "word_accuracy": 1.0,
    }


def test_each_type_has_an_f1_and_a_number():
    by_type = f1_by_type(
        predictions(
            ("B-A O B-B", "B-A O B-B"),
            ("B-A O B-B", "B-A O O"),
            ("B-A O O", "O B-C O"),
        )
    )
    # C is never true, so that nothing can be said about it.
    assert by_type == {
        "A": (pytest.approx(2 * 1 * (2 / 3) / (1 + 2 / 3)), 3),
        "B": (pytest.approx(2 * 1 * (1 / 2) / (1 + 1 / 2)), 2),
    }
