"""The default runs: what is read from their store, who wins, and the page."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Metric, Param

from benchmarks import defaults
from benchmarks.__main__ import main
from benchmarks.default_rows import Row, page
from benchmarks.processes import ProcessFailedError
from pipelines import environment
from pipelines.cli import parse

ROW = Row(
    pipeline="image_classification",
    commits=("0123456789", "abcdefghij"),
    data="`digits`, 1,157 / 243 / 397",
    architecture="convnet",
    parameters=99_754,
    seconds=(60.0, 80.0),
    metric="accuracy",
    greater_is_better=True,
    baseline="support vector machine",
    baselines={"support vector machine": (0.95, 0.94), "majority class": (0.11, 0.1)},
    validation=(0.02, 0.01),
    test=(0.97, 0.95),
    baseline_test=(0.94, 0.94),
    margins=((0.01, 0.05), (-0.002, 0.02)),
)


def options(folder: Path, **chosen: object) -> Namespace:
    return Namespace(
        **{"only": ["forecasting"], "seeds": 2, "folder": str(folder), "options": ""}
        | {"page": "", "note": "", "recorded": False}
        | chosen
    )


def log_run(
    folder: Path,
    seed: int,
    margin: float,
    *,
    commit: str = "old",
    changed: bool = False,
    more: str = "",
    digest: str = "today's",
    epochs: str = "10",
) -> None:
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
        "code.changed": str(changed),
        "baseline": "seasonal mean",
    }
    run = client.create_run(experiment, tags=tags).info.run_id
    _, config = parse(["forecasting", f"--seed={seed}", *more.split()])
    # A run of code that had no such option.
    known = {key: x for key, x in config.hyperparameters().items() if key != "recipe"}
    sizes = {"data.train": "1234", "data.validation": "56", "data.test": "78"}
    own = {"model_parameters": "5000", "data.digest": digest}
    params = {**known, **sizes, **own, "epochs": epochs}
    metrics = {
        "benchmark/cpu_seconds": 10.0 + seed,
        "validation/margin/mase": margin,
        "test/mase": 0.6 + margin,
        "test/baseline/mase": 0.6,
        "test/margin/mase_low": margin - 0.05,
        "test/margin/mase_high": margin + 0.05,
    }
    client.log_batch(
        run,
        metrics=[Metric(name, value, 0, 0) for name, value in metrics.items()],
        params=[Param(name, str(value)) for name, value in params.items()],
    )
    scores = {"validation": {"mase": 0.7}, "test": {"mase": 0.6}}
    client.log_dict(run, {"seasonal mean": scores}, "baselines.json")
    client.log_dict(run, {"metric": "mase", "greater_is_better": False}, "test_resamples.json")
    client.set_terminated(run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs that count, of two commits, and newer ones that do not."""
    folder = tmp_path_factory.mktemp("defaults")
    log_run(folder, 0, -0.1, commit="old")
    log_run(folder, 0, -0.5, changed=True)
    log_run(folder, 0, -0.6, digest="yesterday's")
    log_run(folder, 0, -0.7, epochs="99")
    log_run(folder, 0, -0.8, commit="new", more=" --epochs 1")
    log_run(folder, 1, -0.02, commit="new")
    return folder


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is at commit "new", without changes, and knows its data."""
    monkeypatch.setattr(environment, "code_version", lambda: ("new", ""))
    monkeypatch.setattr(defaults, "_data_digest", lambda pipeline, config: "today's")


def test_a_seed_wins_on_validation_and_beyond_the_interval_on_test():
    assert ROW.wins == 1
    assert replace(ROW, validation=(-0.01, 0.01)).wins == 0
    lower = replace(ROW, greater_is_better=False)
    assert lower.wins == 0
    assert replace(lower, validation=(-0.1, -0.1), margins=((-0.2, -0.1), (-0.3, 0.1))).wins == 1


def test_runs_of_the_same_config_and_data_are_read_and_not_repeated(folder, monkeypatch):
    monkeypatch.setattr(defaults, "_train", None)
    row = defaults.row("forecasting", options(folder))
    assert row
    assert row.commits == ("old", "new")
    assert row.data == "`births`, 1,234 / 56 / 78"
    assert row.baselines == {"seasonal mean": (0.7, 0.6)}
    assert (row.architecture, row.parameters) == ("gru", 5000)
    assert row.seconds == (10.0, 11.0)
    assert row.validation == (-0.1, -0.02)
    assert row.test == (0.5, 0.58)
    assert row.margins == (
        (pytest.approx(-0.15), pytest.approx(-0.05)),
        (-0.07, pytest.approx(0.03)),
    )
    assert row.wins == 1


def test_what_does_not_count_is_run_again(folder, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ProcessFailedError, match="pipelines forecasting --seed=2 failed"):
        defaults.row("forecasting", options(folder, seeds=3))
    monkeypatch.setattr(defaults, "_data_digest", lambda pipeline, config: "tomorrow's")
    with pytest.raises(ProcessFailedError, match="pipelines forecasting --seed=0 failed"):
        defaults.row("forecasting", options(folder))


def test_the_first_run_creates_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ProcessFailedError, match="pipelines forecasting --seed=0 failed"):
        defaults.row("forecasting", options(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["forecasting_0.log"]


def test_a_run_of_this_commit_does_not_count_where_the_code_has_changed_its_data(
    folder, monkeypatch
):
    monkeypatch.setattr(environment, "code_version", lambda: ("new", "a change"))
    monkeypatch.setattr(defaults, "_data_digest", lambda pipeline, config: "tomorrow's")
    assert defaults.row("forecasting", options(folder, recorded=True)) is None


def test_the_page_has_a_line_for_each_pipeline_and_each_baseline():
    machine = {"cpus": 2, "processor": "a processor", "tensorflow": "2.21.0"}
    text = page([ROW], "a command", machine, "Other jobs ran beside.")
    assert "`a command`" in text
    assert "on a machine of 2 cores (a processor) with TensorFlow 2.21.0. Other jobs ran be" in text
    assert (
        "| `python -m pipelines image_classification` | `digits`, 1,157 / 243 / 397 | "
        "`convnet`, 99,754 parameters | 70 ± 14 s | accuracy ↑ | 0.9600 ± 0.0141 | "
        "support vector machine: 0.9400 ± 0.0000 | +0.0200 | -0.0020 … +0.0500 | 1 of 2 | "
        "0123456, abcdefg |"
    ) in text.splitlines()
    assert text.splitlines()[-1] == (
        "| `image_classification` | majority class | accuracy ↑ | 0.1100 | 0.1000 |"
    )


def test_a_page_keeps_the_lines_of_pipelines_that_were_not_run():
    machine = {"cpus": 2, "processor": "P", "tensorflow": "2"}
    earlier = page([replace(ROW, pipeline="translation"), ROW], "earlier", machine)
    newer = replace(ROW, test=(0.5, 0.5), baselines={"another": (0.3, 0.2)})
    text = page([newer], "later", machine, previous=earlier)
    first, second = (line for line in text.splitlines() if "`python -m pipelines " in line)
    assert first.startswith("| `python -m pipelines image_classification`")
    assert "0.5000" in first
    assert second in earlier
    assert "translation" in second
    baselines = [line for line in text.splitlines() if line.startswith("| `")][2:]
    assert baselines[0] == "| `image_classification` | another | accuracy ↑ | 0.3000 | 0.2000 |"
    assert baselines[1:] == [line for line in earlier.splitlines() if "| `translation`" in line]


def test_the_command_logs_the_table_and_writes_the_page(store, folder, tmp_path, capsys):
    chosen = ["--only", "forecasting", "translation", "--recorded", "--folder", str(folder)]
    assert main(["defaults", *chosen, "--page", "page.md"]) == 0
    assert "1 of 2" in capsys.readouterr().out
    text = (tmp_path / "page.md").read_text()
    assert "`gru`, 5,000 parameters" in text
    assert "translation`" not in text
    command = (
        "python -m benchmarks defaults --seeds 5 --only forecasting translation --recorded "
        "--page page.md"
    )
    assert f"`{command}`" in text
    experiment = mlflow.get_experiment_by_name("benchmarks")
    assert experiment
    (run,) = mlflow.search_runs([experiment.experiment_id], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    assert json.loads(run.data.params["only"].replace("'", '"')) == [
        "forecasting",
        "translation",
    ]


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
