"""docs/adding-a-pipeline.md holds a package that installs, passes the test kit, and trains."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import tensorflow as tf

from serving.__main__ import parse as serving_options
from tests import pages
from tests.end_to_end.deploying import deploy

PAGE = pages.ROOT / "docs/adding-a-pipeline.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    names = pages.write_package(PAGE, folder)
    assert {"pyproject.toml", "tabular/config.py", "tabular/task.py"} < set(names)
    (folder / "tabular/__init__.py").touch()
    return folder


@pytest.fixture(scope="module")
def environment(package: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return pages.install(package, tmp_path_factory.mktemp("site"))


def run(arguments: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_table_lists_it_and_its_help_has_its_options(environment, tmp_path):
    assert "tabular_regression" in run(["-m", "pipelines"], environment, tmp_path)
    shown = run(["-m", "pipelines", "tabular_regression", "--help"], environment, tmp_path)
    assert "--held_out" in shown
    assert "Fraction of the rows in each of validation and test" in " ".join(shown.split())


def test_its_own_tests_pass_and_its_command_registers_a_model_that_answers(
    package, environment, tmp_path, monkeypatch
):
    """In one process, which imports TensorFlow once."""
    command = ["pipelines", "tabular_regression", "--name", "diabetes", "--epochs", "3"]
    command += ["--jit_compile", "false"]
    tests = ["-q", "-p", "no:cacheprovider", "test_tabular.py"]
    script = tmp_path / "script.py"
    script.write_text(
        "import os, runpy, sys, pytest\n"
        f"sys.argv = {command}\n"
        "try:\n"
        "    runpy.run_module('pipelines', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        f"os.chdir({str(package)!r})\n"
        f"sys.exit(pytest.main({tests}))"
    )
    shown = run([str(script)], environment, tmp_path)
    assert "linear regression" in shown
    assert "10 passed" in shown
    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    client = mlflow.MlflowClient(store, store)
    version = client.get_model_version("diabetes", "1")
    run_of_it = client.get_run(str(version.run_id))
    assert run_of_it.data.params["held_out"] == "0.2"
    assert "validation/mean_absolute_error" in run_of_it.data.metrics
    (saved,) = (tmp_path / "mlruns").rglob("saved_model.pb")
    model = tf.saved_model.load(str(saved.parent)).signatures["serving_default"]
    value = model(features=tf.zeros([2, 10]))["value"].numpy()
    assert value.shape == (2, 1)
    assert np.all((value > 20) & (value < 350))
    (command,) = re.findall(r"^python -m serving (.*?)(?: +#.*)?$", PAGE.read_text(), re.MULTILINE)
    options = serving_options(shlex.split(command))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    try:
        done = deploy(
            options.model, tmp_path / "models", version=options.version, force=options.force
        )
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    assert (done.version, done.label) == (1, "stable")
