"""Names of metrics: in the sections of MLflow's UI, and as earlier runs have them."""

from __future__ import annotations

import pytest

from pipelines import metric_names


def test_what_belongs_to_a_score_is_a_section_of_its_split():
    score = metric_names.score("test", "macro_f1")
    assert score == "test/macro_f1"
    margin = metric_names.part(score, "margin")
    assert metric_names.bounds(margin) == ("test/margin/macro_f1_low", "test/margin/macro_f1_high")
    assert metric_names.words(score) == "test macro f1"
    logged = [score, margin, "validation/error", metric_names.training("val_loss"), "cpu_seconds"]
    assert metric_names.scores("test", logged) == ["macro_f1"]
    assert metric_names.curves(logged) == ["val_loss"]


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        ("validation_accuracy", "validation/accuracy"),
        ("test_macro_f1", "test/macro_f1"),
        ("test_macro_f1_low", "test/interval/macro_f1_low"),
        ("validation_error_deviation", "validation/deviation/error"),
        ("baseline_test_mase", "test/baseline/mase"),
        ("margin_validation_mase", "validation/margin/mase"),
        ("margin_test_mase_high", "test/margin/mase_high"),
        ("difference_test_f1_low", "test/difference/f1_low"),
        ("best_validation_error", "validation/best/error"),
        ("train_loss", "train/loss"),
        ("val_loss", "train/val_loss"),
        ("learning_rate", "train/learning_rate"),
        ("cpu_seconds", "cpu_seconds"),
        ("diagnosis/dense/gradient_norm", "diagnosis/dense/gradient_norm"),
    ],
)
def test_metrics_of_earlier_runs_are_read_by_the_names_of_now(earlier, now):
    assert metric_names.current(earlier) == now
    assert metric_names.current(now) == now
    assert metric_names.read({earlier: 1.0}) == {now: 1.0}


def test_a_resumed_run_has_the_values_that_were_logged_last():
    assert metric_names.read({"train/loss": 1.0, "train_loss": 2.0}) == {"train/loss": 1.0}
