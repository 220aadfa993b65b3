"""MLproject's entry points are commands that the pipelines understand."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from pipelines import mlproject
from pipelines.catalog import PIPELINES
from pipelines.cli import parse
from pipelines.sweep import options

ROOT = Path(__file__).resolve().parent.parent
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
ENTRY_POINTS = PROJECT["entry_points"]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")


def command(entry_point: str, **given: str) -> list[str]:
    """Returns the arguments of an entry point's command, filled in as MLflow does it."""
    entry = ENTRY_POINTS[entry_point]
    values = {
        name: str(p["default"]) for name, p in entry.get("parameters", {}).items() if "default" in p
    }
    program, *arguments = shlex.split(entry["command"].format(**values | given))
    assert [program, *arguments[:2]] == ["python", "-m", "pipelines"]
    return arguments[2:]


def test_it_is_what_the_command_writes():
    assert (ROOT / "MLproject").read_text() == mlproject.text()


def test_there_is_an_entry_point_for_each_pipeline_and_main():
    assert set(ENTRY_POINTS) == {"main", "sweep", *PIPELINES}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_defaults_are_the_pipelines_own(pipeline):
    assert parse(command(pipeline)) == (pipeline, PIPELINES[pipeline].defaults)


def test_main_does_the_job_of_the_demo():
    assert parse(command("main")) == (
        "image_classification",
        PIPELINES["image_classification"].defaults,
    )


def test_a_sweep_takes_its_pipeline_its_space_and_others(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("batch_size: [8, 16]")
    name, *arguments = command("sweep", space=str(file), pipeline="forecasting")
    sweep = options.parse([*arguments, "--epochs", "3"])
    assert (name, sweep.pipeline, sweep.trials) == ("sweep", "forecasting", 20)
    assert sweep.config({"batch_size": 8}).recipe.epochs == 3


def test_parameters_reach_the_pipeline_and_so_do_others():
    arguments = command("image_classification", epochs="3", learning_rate="1e-2")
    _, config = parse([*arguments, "--model.dropout", "0.3", "--patience", "5"])
    assert config.recipe.epochs == 3
    assert config.recipe.optimizer.learning_rate == 0.01
    assert config.recipe.patience == 5
    assert config.model == {"dropout": 0.3}


def test_the_environment_is_the_locked_one():
    environment = yaml.safe_load((ROOT / PROJECT["python_env"]).read_text())
    assert environment["dependencies"] == ["-r requirements.lock"]


def test_locked_requirements_are_pinned_hashed_and_name_no_registry():
    for name in LOCKS:
        text = (ROOT / name).read_text()
        requirements = [line for line in text.splitlines() if line and line[0].isalpha()]
        assert requirements
        assert all("==" in line and line.endswith("\\") for line in requirements)
        assert text.count("--hash=sha256:") >= len(requirements)
        assert "://" not in text
        assert "index-url" not in text


def locked(name: str) -> dict[str, set[str]]:
    """Returns the versions that a lock file has of each package, one for each marker."""
    versions: dict[str, set[str]] = {}
    for line in (ROOT / name).read_text().splitlines():
        if line and line[0].isalpha():
            package, version = line.split(" ")[0].split("==")
            versions.setdefault(package, set()).add(version)
    return versions


@pytest.mark.parametrize("name", ["requirements-dev.lock", "requirements-build.lock"])
def test_the_lock_files_agree(name):
    main, other = locked("requirements.lock"), locked(name)
    shared = main.keys() & other.keys()
    assert shared
    assert {package for package in shared if not other[package] <= main[package]} == set()


def test_what_only_tests_need_is_locked_apart():
    only_tests = {"pytest", "mypy", "ruff", "hypothesis", "kubernetes-validate"}
    assert only_tests <= locked("requirements-dev.lock").keys()
    assert not only_tests & locked("requirements.lock").keys()
