"""The study of a sweep: samplers, pruners, several processes, and trials that were killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError

from pipelines.errors import UserError
from pipelines.sweep import study as studies
from pipelines.sweep.options import Sweep, SweepOptions
from pipelines.sweep.space import Choices, Range, Space
from pipelines.sweep.study import Opened, open_study, run_trials

ROOT = Path(__file__).resolve().parents[3]
SPACE: Space = {
    "optimizer.learning_rate": Range(1e-4, 1e-1, log=True),
    "optimizer.warmup": Range(0.0, 0.5),
    "batch_size": Choices((16, 32)),
}
GRID: Space = {"optimizer.warmup": Range(0.0, 0.5, step=0.25), "batch_size": Choices((16, 32))}


def sweep(folder: Path, space: Space = SPACE, name: str = "test", **options: Any) -> Sweep:
    url = f"sqlite:///{folder}/sweeps.db"
    chosen = SweepOptions(sweep=name, storage=url, **options)
    return Sweep("image_classification", (), chosen, space)


def opened(chosen: Sweep, seed: int = 0, epochs: int = 8) -> Opened:
    return open_study(chosen, greater_is_better=True, seed=seed, epochs=epochs)


def score(values: dict) -> float:
    """A score that is best at a warmup of 0.25, with large batches."""
    return values["batch_size"] / 32 - abs(values["optimizer.warmup"] - 0.25)


def search(chosen: Sweep, trials: int, seed: int = 0) -> optuna.Study:
    study = opened(chosen, seed)

    def objective(trial: optuna.Trial) -> float:
        return score(studies.suggest(trial, chosen.space))

    run_trials(study, trials, objective, lambda *ended: None)
    return study.study


def params(study: optuna.Study) -> list[dict]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cma_es"])
def test_a_sampler_stays_within_its_space_and_repeats_by_its_seed(sampler, tmp_path):
    first = search(sweep(tmp_path, name="first", sampler=sampler), 12)
    values = [studies.values(trial.params, SPACE) for trial in first.trials]
    assert {each["batch_size"] for each in values} == {16, 32}
    assert all(1e-4 <= each["optimizer.learning_rate"] <= 1e-1 for each in values)
    assert len({each["optimizer.warmup"] for each in values}) == 12
    assert first.best_value == max(map(score, values))

    # A sweep that ends early, and is continued by another process, takes the same way.
    again = sweep(tmp_path, name="again", sampler=sampler)
    assert len(search(again, 5).trials) == 5
    assert params(search(again, 12)) == params(first)
    other = search(sweep(tmp_path, name="other", sampler=sampler), 3, seed=1)
    assert params(other) != params(first)[:3]


def test_the_parzen_estimator_learns_where_scores_are_high(tmp_path):
    found = search(sweep(tmp_path), 40)
    late = [score(studies.values(trial.params, SPACE)) for trial in found.trials[20:]]
    assert sum(late) / len(late) > 0.75  # Of random ones, the mean is 0.625.


def test_a_grid_is_searched_once_and_completely(tmp_path):
    chosen = sweep(tmp_path, GRID, sampler="grid")
    assert chosen.trials == 6
    search(chosen, 4)
    found = search(chosen, chosen.trials)
    assert sorted(tuple(each.values()) for each in params(found)) == [
        (warmup, size) for warmup in (0.0, 0.25, 0.5) for size in ("16", "32")
    ]


@pytest.mark.parametrize(
    ("pruner", "epochs"), [("none", 160), ("median", 130), ("successive_halving", 70)]
)
def test_a_pruner_ends_worse_trials_early(pruner, epochs, tmp_path):
    chosen = sweep(tmp_path, pruner=pruner, sampler="random")
    study = opened(chosen)

    def objective(trial: optuna.Trial) -> float:
        value = score(studies.suggest(trial, SPACE))
        for epoch in range(1, 9):
            trial.report(value * epoch, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    run_trials(study, 20, objective, lambda *ended: None)
    trials = study.study.trials
    taken = sum(len(trial.intermediate_values) for trial in trials)
    assert 20 < taken <= epochs
    best = max(trials, key=lambda trial: score(studies.values(trial.params, SPACE)))
    assert best.state == TrialState.COMPLETE
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    if pruner == "median":
        assert min(len(trial.intermediate_values) for trial in pruned) >= 2


# A process that works on a sweep, and writes a line when it begins a trial.
WORKER = """
import sys, time
from pathlib import Path
from pipelines.sweep import study as studies
from tests.pipelines.sweep import test_study as test

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
chosen = test.sweep(folder)
study = test.opened(chosen)

def objective(trial):
    values = studies.suggest(trial, chosen.space)
    print("trial", trial.number, flush=True)
    time.sleep(seconds)
    return test.score(values)

studies.run_trials(study, 6, objective, lambda *ended: None)
"""


def worker(folder: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(folder), str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_share_a_sweep_and_a_killed_one_loses_nothing(tmp_path):
    """One process is killed in a trial; the other tries that again, and no trial is lost."""
    hanging, working = worker(tmp_path, 600), worker(tmp_path, 0.2)
    assert hanging.stdout is not None
    number = int(hanging.stdout.readline().split()[1])
    # Killed but not waited for, it is a zombie, as one of a shell's in the background.
    os.kill(hanging.pid, signal.SIGKILL)
    working.communicate(timeout=400)
    assert working.returncode == 0
    hanging.communicate()
    found = search(sweep(tmp_path), 6)
    states = [trial.state for trial in found.trials]
    assert states.count(TrialState.COMPLETE) == 6
    killed = found.trials[number]
    assert killed.state == TrialState.FAIL
    (again,) = (
        trial for trial in found.trials if trial.params == killed.params and trial != killed
    )
    assert again.state == TrialState.COMPLETE
    assert len(found.trials) == 7


def test_a_trial_that_always_kills_its_process_is_given_up(tmp_path, monkeypatch):
    chosen = sweep(tmp_path)
    study = opened(chosen)
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    tags = studies.store.process_tags() | {"mlflow.process.id": str(dead.pid)}
    for _ in range(3):
        (trial,) = [study.study.ask()]
        studies.suggest(trial, SPACE)
        trial.set_user_attr("process", tags)
        assert studies.give_up_killed(study.study) == [trial.number]
        studies._try_again(study.study, trial.number)
    waiting = study.study.get_trials(states=(TrialState.WAITING,))
    assert waiting == []
    assert len({tuple(each.items()) for each in params(study.study)}) == 1


def test_an_interrupted_trial_is_tried_again_when_the_sweep_goes_on(tmp_path):
    chosen = sweep(tmp_path, GRID, sampler="grid")
    study = opened(chosen)

    def interrupted(trial: optuna.Trial) -> float:
        if trial.number == 2:
            raise KeyboardInterrupt
        return score(studies.suggest(trial, GRID))

    with pytest.raises(KeyboardInterrupt):
        run_trials(study, 6, interrupted, lambda *ended: None)
    found = search(chosen, 6)
    completed = found.get_trials(states=(TrialState.COMPLETE,))
    assert len({tuple(trial.params.items()) for trial in completed}) == len(completed) == 6


def test_trials_of_other_machines_count_as_running_until_their_heart_stops(tmp_path, monkeypatch):
    study = opened(sweep(tmp_path)).study
    trial = study.ask()
    trial.set_user_attr(
        "process", studies.store.process_tags() | {"mlflow.process.host": "elsewhere"}
    )
    assert studies.give_up_killed(study) == []
    assert [one.number for one in studies.running(study)] == [trial.number]


def test_another_space_or_other_options_are_another_sweep(tmp_path):
    opened(sweep(tmp_path))
    message = (
        "the sweep test in sqlite:.* was begun with another range or other choices of batch_size"
    )
    with pytest.raises(UserError, match=message):
        opened(sweep(tmp_path, {**SPACE, "batch_size": Choices((16, 64))}))
    with pytest.raises(UserError, match="another value of epochs; choose another --sweep"):
        opened(Sweep("image_classification", ("--epochs", "3"), sweep(tmp_path).options, SPACE))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////nowhere/sweeps.db", "unable to open database file"),
        ("postgresql+nothing://localhost/sweeps", "Can't load plugin.*"),
        ("postgresql+nothing://me:secret@localhost/sweeps", "Can't load plugin.*"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told(url, message, tmp_path):
    chosen = Sweep("image_classification", (), SweepOptions(storage=url), SPACE)
    with pytest.raises(UserError) as error:
        opened(chosen)
    shown = re.escape(url.replace("secret", "***"))
    assert re.fullmatch(f"--storage {shown} cannot be used: {message}", str(error.value))


def test_tables_that_another_process_creates_are_waited_for(tmp_path, monkeypatch):
    """As in PostgreSQL, where the second of two processes ends with an error of the catalog's."""
    failures = [IntegrityError("CREATE TABLE", {}, Exception("duplicate key")) for _ in range(2)]

    def storage(url: str, **options: Any) -> RDBStorage:
        if failures:
            raise failures.pop()
        return RDBStorage(f"sqlite:///{tmp_path}/sweeps.db")

    monkeypatch.setattr(studies, "_PAUSE", 0)
    monkeypatch.setattr(studies, "RDBStorage", storage)
    options = SweepOptions(sweep="test", storage="postgresql+psycopg2://localhost/sweeps")
    assert opened(Sweep("image_classification", (), options, SPACE)).new
    failures += [IntegrityError("SELECT", {}, Exception("wrong")) for _ in range(9)]
    with pytest.raises(UserError, match="cannot be used: wrong"):
        opened(Sweep("image_classification", (), options, SPACE))


def test_databases_of_sweeps_are_beside_the_store(workplace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace}/store/mlflow.db")
    assert studies.storage_url(SweepOptions()) == f"sqlite:///{workplace}/store/sweeps.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert studies.storage_url(SweepOptions()) == f"sqlite:///{workplace}/mlruns/sweeps.db"
