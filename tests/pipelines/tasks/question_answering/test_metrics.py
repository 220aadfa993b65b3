"""Metrics of question answering, worked out by hand."""

from __future__ import annotations

import pytest

from pipelines.evaluation import intervals
from pipelines.tasks.question_answering import metrics
from tests.pipelines.tasks.question_answering.examples import predictions


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  U.S. Army,", "us army"),
        ("an apple a day", "apple day"),
        ("Theatre", "theatre"),
        ("$5,000,000", "5000000"),
        ("a", ""),
    ],
)
def test_texts_are_normalized_as_for_squad(text, normal):
    assert metrics.normalize(text) == normal


@pytest.mark.parametrize(
    ("predicted", "truth", "score"),
    [
        ("new york city", "new york", 0.8),
        ("york", "new york", 2 / 3),
        ("rome", "new york", 0.0),
        ("ha ha ha", "ha ha", 0.8),
        ("", "rome", 0.0),
    ],
)
def test_f1_is_that_of_words(predicted, truth, score):
    assert metrics.f1(predicted, truth) == pytest.approx(score)


def test_scores_are_means_of_each_question_s_best():
    scores = metrics.scores(metrics.reduce(predictions()))
    assert scores == {
        "f1": pytest.approx((1 + 0.8 + 0) / 3),
        "exact_match": pytest.approx(1 / 3),
    }
    low, high = intervals(metrics.scores, metrics.reduce(predictions()))["f1"]
    assert 0 <= low < scores["f1"] < high <= 1


def test_f1_is_told_by_kind_of_answer_and_passage():
    assert metrics.f1_by_kind(predictions()) == {
        "one word (1)": pytest.approx(0.8),
        "several words (2)": pytest.approx(0.5),
        "passage of at most 7 words (3)": pytest.approx(0.6),
    }
