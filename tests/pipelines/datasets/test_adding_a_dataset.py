"""docs/adding-a-dataset.md holds a package that installs, and whose data set trains a network."""

from __future__ import annotations

import re
import subprocess
import sys

import mlflow

from tests import pages

PAGE = pages.ROOT / "docs/adding-a-dataset.md"
# The page's network needs longer.
SMALL = (
    *("--model.filters", "[4]", "--model.convolutions", "1", "--model.units", "[]"),
    *("--jit_compile", "false", "--figures", "false"),
)


def test_the_command_of_the_page_trains_on_its_data_set(tmp_path):
    package, work = tmp_path / "package", tmp_path / "work"
    assert pages.write_package(PAGE, package) == ["photo_tiles/__init__.py", "pyproject.toml"]
    environment = pages.install(package, tmp_path / "site")
    (options,) = re.findall(r"^python -m pipelines (.*)$", PAGE.read_text(), re.MULTILINE)
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", *options.split(), *SMALL],
        capture_output=True,
        text=True,
        check=False,
        cwd=work,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "models:/photo_tiles/1" in done.stdout
    store = f"sqlite:///{work}/mlruns/mlflow.db"
    client = mlflow.MlflowClient(store, store)
    run = client.get_run(str(client.get_model_version("photo_tiles", "1").run_id))
    assert str(run.info.run_name).startswith("convnet on photo_tiles, seed ")
    assert run.inputs
    names = {entry.dataset.name for entry in run.inputs.dataset_inputs}
    assert names == {"photo_tiles/train", "photo_tiles/validation", "photo_tiles/test"}
    tables = re.findall(r"^\| (train|validation|test) +\| (\d+)", PAGE.read_text(), re.MULTILINE)
    assert len(tables) == 3
    for split, size in tables:
        assert run.data.params[f"data.{split}"] == size
