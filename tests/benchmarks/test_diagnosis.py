"""The cost of a diagnosis: pairs of rounds, and how they are compared."""

from __future__ import annotations

from contextlib import nullcontext

import mlflow
import pytest

from benchmarks import diagnosis
from benchmarks.__main__ import main


def test_the_overhead_is_the_median_of_pairs():
    row = diagnosis.Row(
        "net", [1.0, 2.0, 4.0], [1.5, 2.2, 4.2], every=50, share=0.02, tracing=1.0, layers=3
    )
    assert row.overhead == pytest.approx(0.1)


def test_the_command_measures_and_logs(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pipelines.training.diagnosis._INTERVAL", 5)
    # One database for both: to create one takes seconds.
    monkeypatch.setattr(diagnosis.tempfile, "TemporaryDirectory", lambda: nullcontext(tmp_path))
    assert main(["diagnosis", "--only", "mlp", "--pairs", "1", "--probes", "1"]) == 0
    assert "mlp" in capsys.readouterr().out
    experiment = mlflow.get_experiment_by_name("benchmarks")
    assert experiment
    (run,) = mlflow.search_runs([experiment.experiment_id], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    assert run.data.params["only"] == "['mlp']"


def test_pairs_must_be_positive(capsys):
    assert main(["diagnosis", "--pairs", "0"]) == 2
    assert capsys.readouterr().err == "error: --pairs must be at least 1, not 0\n"
