"""The default runs: what is read from their store, who wins, and the page."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from benchmarks import defaults
from benchmarks.__main__ import main
from benchmarks.defaults import Row
from benchmarks.processes import ProcessFailedError
from pipelines import environment

ROW = Row(
    pipeline="image_classification",
    data="digits, 1,157 training examples",
    architecture="convnet",
    parameters=99_754,
    seconds=(60.0, 80.0),
    metric="accuracy",
    greater_is_better=True,
    baseline="support vector machine",
    validation=(0.02, 0.01),
    test=(0.97, 0.95),
    baseline_test=(0.94, 0.94),
    margins=((0.01, 0.05), (-0.002, 0.02)),
)


def options(folder: Path, **chosen: object) -> Namespace:
    return Namespace(
        **{"only": ["forecasting"], "seeds": 2, "folder": str(folder), "page": "", "options": ""}
        | chosen
    )


def log_run(folder: Path, seed: int, margin: float, *, commit: str, more: str = "") -> None:
    """Logs what a run of `forecasting` logs, as one of this benchmark."""
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_experiment_by_name("forecasting")
    experiment = (
        found.experiment_id
        if found
        else client.create_experiment("forecasting", artifact_location=str(folder / "artifacts"))
    )
    tags = {
        "benchmark": f"defaults {seed}{more}",
        "code.commit": commit,
        "code.changed": "False",
        "baseline": "seasonal mean",
    }
    run = client.create_run(experiment, tags=tags).info.run_id
    params = {"dataset": "elnino", "data.train": "1234", "architecture": "gru"}
    for name, chosen in {**params, "model_parameters": "5000"}.items():
        client.log_param(run, name, chosen)
    for name, value in {
        "benchmark/cpu_seconds": 10.0 + seed,
        "margin_validation_mase": margin,
        "test_mase": 0.6 + margin,
        "baseline_test_mase": 0.6,
        "margin_test_mase_low": margin - 0.05,
        "margin_test_mase_high": margin + 0.05,
    }.items():
        client.log_metric(run, name, value)
    client.log_dict(run, {"metric": "mase", "greater_is_better": False}, "test_resamples.json")
    client.set_terminated(run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of two commits and of other options."""
    folder = tmp_path_factory.mktemp("defaults")
    log_run(folder, 0, -0.1, commit="new")
    log_run(folder, 0, -0.7, commit="old")
    log_run(folder, 0, -0.8, commit="new", more=" --epochs 1")
    log_run(folder, 1, -0.02, commit="new")
    return folder


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is at commit "new", without changes."""
    monkeypatch.setattr(environment, "code_version", lambda: ("new", ""))


def test_a_seed_wins_on_validation_and_beyond_the_interval_on_test():
    assert ROW.wins == 1
    assert replace(ROW, validation=(-0.01, 0.01)).wins == 0
    lower = replace(ROW, greater_is_better=False)
    assert lower.wins == 0
    assert replace(lower, validation=(-0.1, -0.1), margins=((-0.2, -0.1), (-0.3, 0.1))).wins == 1


def test_finished_runs_of_the_same_code_are_read_and_not_repeated(folder, monkeypatch):
    monkeypatch.setattr(defaults, "_train", None)
    row = defaults.row("forecasting", options(folder))
    assert row.data == "elnino, 1,234 training examples"
    assert (row.architecture, row.parameters) == ("gru", 5000)
    assert row.seconds == (10.0, 11.0)
    assert row.validation == (-0.1, -0.02)
    assert row.test == (0.5, 0.58)
    assert row.margins == (
        (pytest.approx(-0.15), pytest.approx(-0.05)),
        (-0.07, pytest.approx(0.03)),
    )
    assert row.wins == 1


@pytest.mark.parametrize("version", [("newer", ""), ("new", "a change")])
def test_other_code_is_run_again(folder, monkeypatch, version):
    monkeypatch.setattr(environment, "code_version", lambda: version)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ProcessFailedError, match="pipelines forecasting --seed=0 failed"):
        defaults.row("forecasting", options(folder))


def test_the_page_has_a_line_for_each_pipeline():
    machine = {"cpus": 2, "processor": "a processor", "tensorflow": "2.21.0"}
    text = defaults.page([ROW], options(Path("f"), page="docs/results.md"), machine)
    assert "`python -m benchmarks defaults --seeds 2 --page docs/results.md`" in text
    assert text.splitlines()[-1] == (
        "| `python -m pipelines image_classification` | digits, 1,157 training examples | "
        "`convnet`, 99,754 parameters | 70 ± 14 s | accuracy ↑ | 0.9600 ± 0.0141 | "
        "support vector machine: 0.9400 ± 0.0000 | +0.0200 | -0.0020 … +0.0500 | 1 of 2 |"
    )


def test_the_command_logs_the_table_and_writes_the_page(store, folder, tmp_path, capsys):
    chosen = ["--only", "forecasting", "--seeds", "2", "--folder", str(folder), "--page", "page.md"]
    assert main(["defaults", *chosen]) == 0
    assert "1 of 2" in capsys.readouterr().out
    assert "`gru`, 5,000 parameters" in (tmp_path / "page.md").read_text()
    experiment = mlflow.get_experiment_by_name("benchmarks")
    assert experiment
    (run,) = mlflow.search_runs([experiment.experiment_id], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    assert json.loads(run.data.params["only"].replace("'", '"')) == ["forecasting"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--page", "no/where.md"], "--page no/where.md: its folder does not exist"),
    ],
)
def test_wrong_options_are_one_sentence(arguments, message, capsys):
    assert main(["defaults", *arguments]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
