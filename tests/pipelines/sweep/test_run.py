"""A sweep, from its trials to the registered winner, and how it ends when something fails."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import mlflow
import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState

from pipelines.__main__ import main
from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe
from pipelines.store import process_tags
from pipelines.sweep import parent
from pipelines.sweep import study as studies
from pipelines.sweep.options import parse
from pipelines.sweep.trial import Loaded, Objective
from tests.pipelines import samples

# Trained with a rate of 1e-7, a network learns nothing, and batches of 5 are refused.
GRID = "optimizer.learning_rate: [0.3, 1e-6, 1e-7]\nbatch_size: [4, 5]\n"
RANDOM = "optimizer.learning_rate: {low: 0.2, high: 0.3}\n"


class Picky(samples.Doubles):
    def network(self, data):
        if self.config.recipe.batch_size == 5:
            raise UserError("batches of 5 are not to its taste")
        return super().network(data)


@pytest.fixture
def arguments(store, make_task, tmp_path, monkeypatch) -> list[str]:
    """The arguments of a sweep over `GRID`, three epochs each."""
    monkeypatch.setenv("COLUMNS", "120")
    make_task(Picky)
    Path("grid.yaml").write_text(GRID)
    Path("random.yaml").write_text(RANDOM)
    return ["image_classification", "--space", "grid.yaml", "--epochs", "3", "--sweep", "test"]


def runs() -> list[Run]:
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return [run for run in found if isinstance(run, Run)]


def parent_of_all() -> Run:
    (found,) = (run for run in runs() if "mlflow.parentRunId" not in run.data.tags)
    return found


def trials() -> dict[int, Run]:
    """The runs of trials by their number."""
    return {
        int(run.data.tags["sweep.trial"]): run
        for run in runs()
        if ", trial " in (run.info.run_name or "")
    }


def test_a_sweep_tries_all_and_registers_the_best(arguments, at_once, capsys):
    # With this seed, the good trial comes before the others.
    grid = ["--sampler", "grid", "--pruner", "successive_halving", "--seed", "4"]
    searched = [*arguments, *grid]
    assert main(["sweep", *searched]) == 0
    shown = capsys.readouterr().out
    top, tried = parent_of_all(), trials()
    assert (top.info.status, top.data.tags["sweep"]) == ("FINISHED", "test")
    rows = list(
        csv.DictReader(
            io.StringIO(mlflow.artifacts.load_text(f"runs:/{top.info.run_id}/trials.csv"))
        )
    )
    assert sorted((row["optimizer.learning_rate"], row["batch_size"]) for row in rows) == [
        (rate, size) for rate in ("0.3", "1e-06", "1e-07") for size in ("4", "5")
    ]

    # Batches of 5 failed, and left no run; a worse trial ended after its first epoch.
    failed = [row for row in rows if row["batch_size"] == "5"]
    assert {row["failure"] for row in failed} == {"batches of 5 are not to its taste"}
    assert {row["state"] for row in failed} == {"pruned"}
    completed = [row for row in rows if row["state"] == "complete"]
    pruned = [row for row in rows if row["state"] == "pruned" and not row["failure"]]
    assert {row["epochs"] for row in completed} == {"3"}
    assert {row["epochs"] for row in pruned} == {"1"}
    assert set(tried) == {int(row["trial"]) for row in completed + pruned}
    assert len(tried) == 3
    for number, run in tried.items():
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == top.info.run_id
        state = "complete" if number in {int(row["trial"]) for row in completed} else "pruned"
        assert run.data.tags["sweep.state"] == state
        # Trials look at validation only.
        assert not [name for name in run.data.metrics if name.startswith("test/")]

    # The winner is trained as it was, and registered.
    best = min(completed, key=lambda row: float(row["validation/error"]))
    assert best["optimizer.learning_rate"] == "0.3"
    (winner,) = (run for run in runs() if run.info.run_id == top.data.tags["sweep.winner"])
    assert winner.data.tags["sweep.trial"] == best["trial"] == top.data.tags["sweep.best_trial"]
    assert winner.data.metrics["validation/error"] == float(best["validation/error"])
    assert "test/error" in winner.data.metrics
    assert winner.data.params["optimizer.learning_rate"] == "0.3"
    (version,) = mlflow.MlflowClient().search_model_versions()
    assert version.run_id == winner.info.run_id
    files = mlflow.artifacts.list_artifacts(f"runs:/{top.info.run_id}/figures") or ()
    assert {Path(file.path).stem for file in files} >= {
        "sweep_history",
        "sweep_parallel_coordinates",
    }
    assert top.data.metrics["validation/best/error"] == float(best["validation/error"])

    for line in (
        rf"sweep test in sqlite:.*/sweeps.db: 6 trials, 2 options, run runs:/{top.info.run_id}",
        r"  trial \d: batches of 5 are not to its taste  \(optimizer.learning_rate .*size 5\)",
        rf"6 trials: {len(completed)} completed, {len(pruned)} pruned, 3 failed",
        rf"winner: trial {best['trial']}, optimizer.learning_rate 0.3, batch_size 4",
    ):
        assert re.search(f"^{line}$", shown, re.MULTILINE), line

    # The same command finds nothing left to do.
    assert main(["sweep", *searched]) == 0
    shown = capsys.readouterr().out
    assert (
        f"the winner, trial {best['trial']}, is trained already: runs:/{winner.info.run_id}"
        in shown
    )
    assert len(mlflow.MlflowClient().search_model_versions()) == 1
    assert parent_of_all().info.status == "FINISHED"


def test_an_interrupted_sweep_goes_on(arguments, monkeypatch, capsys):
    """Another trial fails for lack of numbers; the winner is left out here."""
    monkeypatch.setattr("pipelines.sweep.run._train_winner", lambda *rest: None)
    train = Objective._train

    def interrupted(self, trial: optuna.Trial, config: Config) -> float:
        if trial.number == 1:
            raise KeyboardInterrupt
        return train(self, trial, config)

    searched = [*arguments, "--space", "random.yaml", "--trials", "3", "--trial_epochs", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Objective, "_train", interrupted)
        assert main(["sweep", *searched]) == 130
    assert (parent_of_all().info.status, set(trials())) == ("KILLED", {0})
    assert parent_of_all().data.tags["failure"] == "interrupted"
    assert main(["sweep", *searched]) == 0
    assert (parent_of_all().info.status, set(trials())) == ("FINISHED", {0, 2, 3})
    assert "failure" not in parent_of_all().data.tags
    assert {run.data.params["epochs"] for run in trials().values()} == {"1"}
    # What was interrupted was tried again.
    study = studies.open_study(parse(searched), greater_is_better=False, seed=0, epochs=1).study
    assert study.trials[2].params == study.trials[1].params

    # A trial in another process keeps the run open, and the winner for that process.
    other = study.ask()
    other.set_user_attr("process", process_tags() | {"mlflow.process.host": "elsewhere"})
    capsys.readouterr()
    assert main(["sweep", *searched, "--trials", "4"]) == 0
    assert "1 of the trials run in other processes; the last one" in capsys.readouterr().out
    assert parent_of_all().info.status == "RUNNING"


class Hopeless(samples.Doubles):
    def loss(self, data):
        return lambda target, outputs: outputs * float("nan")


def test_a_sweep_without_a_completed_trial_ends_with_code_1(arguments, make_task, capsys):
    make_task(Hopeless)
    searched = [*arguments, "--space", "random.yaml", "--trials", "2"]
    assert main(["sweep", *searched]) == 1
    assert re.fullmatch(
        r"error: no trial of test was completed; the last one: the loss became nan in epoch 1; .*"
        r"; nothing was registered\n",
        capsys.readouterr().err,
    )
    assert {run.info.status for run in trials().values()} == {"FAILED"}
    assert parent_of_all().info.status == "FAILED"


def test_one_process_of_several_trains_the_winner(arguments, monkeypatch, capsys):
    # Nobody else has created a run of this sweep, for which it would be waited.
    monkeypatch.setattr(parent, "_WAIT", 0)
    sweep = parse([*arguments, "--sampler", "grid"])
    opened = studies.open_study(sweep, greater_is_better=False, seed=0, epochs=1)
    for _ in range(6):
        trial = opened.study.ask()
        studies.suggest(trial, sweep.space)
        opened.study.tell(trial, 0.5)
    elsewhere = process_tags() | {"mlflow.process.host": "elsewhere"}
    other = studies.winners(opened).ask()
    other.set_user_attr("process", elsewhere)
    assert main(["sweep", *arguments, "--sampler", "grid"]) == 0
    assert "another process trains the winner" in capsys.readouterr().out
    assert mlflow.MlflowClient().search_model_versions() == []
    ended = studies.winners(opened).get_trials(states=(TrialState.PRUNED,))
    assert len(ended) == 1


def test_a_run_that_mlflow_has_started_becomes_that_of_a_new_sweep(arguments, monkeypatch):
    sweep = parse(arguments)
    config = sweep.config({})
    for new in (True, False):
        opened = studies.open_study(sweep, greater_is_better=True, seed=0, epochs=1)
        assert opened.new == new
        started = mlflow.MlflowClient().create_run("0").info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", started)
        with parent.parent_run(sweep, opened, config) as run_id:
            assert (run_id == started) == new
        note = mlflow.get_run(started).data.tags.get("mlflow.note.content")
        assert note == (None if new else f"Works on the sweep of run {run_id}.")
    assert mlflow.get_run(run_id).data.params["pipeline"] == "image_classification"


def test_data_are_loaded_again_only_where_they_depend_on_the_options():
    config = samples.sequence_config()
    loaded = Loaded(config, samples.sequences())
    rate = Recipe(optimizer=Optimizer(learning_rate=0.5), batch_size=3)
    assert loaded.fits(replace(config, recipe=rate, model={"units": 3}, run_name="mine"))
    assert not loaded.fits(replace(config, recipe=Recipe(seed=3)))
    assert not loaded.fits(replace(config, architecture="lstm"))
    assert not loaded.fits(replace(config, max_examples=3))
