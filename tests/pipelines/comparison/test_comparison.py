"""Comparisons: what differs, by how much, and what cannot be compared."""

from __future__ import annotations

import mlflow
import pytest

from pipelines.comparison.comparison import Difference, compare, read
from tests.pipelines.comparison import stored


def compared(*ids: str):
    return compare([read(mlflow.get_run(each), str(n)) for n, each in enumerate(ids, 1)])


def test_runs_differ_in_parameters_scores_and_curves(store):
    found = compared(
        stored.log("one", parameters={"a": 1, "b": 2}),
        stored.log("two", better=0.02, parameters={"a": 1, "b": 3, "c": 4}),
    )
    assert found.parameters == {"b": ["2", "3"], "c": [None, "4"]}
    assert found.scores == {
        "test/accuracy": [0.9, pytest.approx(0.92)],
        "validation/accuracy": [0.9, pytest.approx(0.92)],
    }
    assert found.runs[0].intervals == {"test/accuracy": pytest.approx((0.85, 0.95))}
    assert found.runs[0].curves["val_loss"] == ([1, 2, 3], [2.5, 1.25, pytest.approx(2.5 / 3)])
    (difference,) = found.differences
    assert difference.value == pytest.approx(0.02)
    low, high = difference.interval
    # The resamples are the same, so that the interval is narrower than those of the scores.
    assert 0.01 < low < 0.02 < high < 0.03
    assert (difference.run, difference.reference, difference.verdict) == ("2", "1", "better")
    assert found.metric == "accuracy"
    assert found.notes == []


def test_a_run_is_compared_with_one_whose_metrics_had_no_sections(store):
    names = {
        "train/loss": "train_loss",
        "train/val_loss": "val_loss",
        "train/val_accuracy": "val_accuracy",
        "train/learning_rate": "learning_rate",
        "validation/accuracy": "validation_accuracy",
        "test/accuracy": "test_accuracy",
        "test/interval/accuracy_low": "test_accuracy_low",
        "test/interval/accuracy_high": "test_accuracy_high",
        "test/deviation/accuracy": "test_accuracy_deviation",
        "test/baseline/accuracy": "baseline_test_accuracy",
    }
    found = compared(stored.log("now"), stored.log("earlier", names=names))
    now, earlier = found.runs
    assert (now.scores, now.intervals) == (earlier.scores, earlier.intervals)
    assert now.deviations == earlier.deviations == {"test/accuracy": 0.01}
    assert now.curves == earlier.curves
    assert now.curves.keys() == {"loss", "val_loss", "val_accuracy"}
    assert len(found.differences) == 1


@pytest.mark.parametrize(
    ("interval", "greater_is_better", "verdict"),
    [
        ((-0.1, 0.2), True, "no clear difference"),
        ((0.0, 0.0), True, "no clear difference"),
        ((0.1, 0.2), True, "better"),
        ((0.1, 0.2), False, "worse"),
        ((-0.2, -0.1), False, "better"),
        ((-0.2, -0.1), None, "lower"),
        ((0.1, 0.2), None, "higher"),
    ],
)
def test_a_verdict_follows_from_the_interval(interval, greater_is_better, verdict):
    assert Difference("2", "1", "loss", 0.1, interval, greater_is_better).verdict == verdict


def test_what_cannot_be_compared_is_a_note(store):
    one = stored.log("one")
    found = compared(
        one,
        stored.log("other data", digest="ba9876543210"),
        stored.log("other windows", units=99),
        stored.log("old", resamples=False),
        stored.log("goes on", status="RUNNING"),
        stored.log("failed", status="FAILED"),
        stored.log("elsewhere", pipeline="forecasting"),
    )
    assert {each.run for each in found.differences} == {"5", "6", "7"}
    notes = "\n".join(found.notes)
    assert "run 5 goes on is RUNNING: what it has logged is shown" in notes
    assert "run 6 failed is FAILED" in notes
    assert "of different pipelines (1 image_classification, 2 image_classification" in notes
    assert "runs 1 and 2: their data are not the same (digests 0123456789ab and ba98" in notes
    assert "runs 1 and 3: their test splits are cut into 100 and 99 examples" in notes
    assert "runs 1 and 4: 4 old has not kept its scores" in notes
    assert len(found.notes) == 6
    assert found.runs[4].seconds is None
    (only,) = compared(stored.log("old", resamples=False), one, one).notes
    assert only.startswith("no differences from run 1 old, which has not kept its scores")
