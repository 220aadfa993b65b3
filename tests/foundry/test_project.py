"""`foundry project`: an MLflow project of the installed pipelines."""

from __future__ import annotations

import shlex

import yaml

from foundry.__main__ import main
from pipelines.catalog import PIPELINES


def test_it_has_an_entry_point_for_each_pipeline_and_no_environment_of_its_own(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["project", "my project"]) == 0
    project = yaml.safe_load((tmp_path / "my project" / "MLproject").read_text())
    assert set(project) == {"name", "entry_points"}
    assert set(project["entry_points"]) == {"main", "sweep", *PIPELINES}
    wrote, export, run = capsys.readouterr().out.splitlines()
    assert wrote == f"wrote {tmp_path / 'my project' / 'MLproject'}"
    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert shlex.split(export)[1:] == ["export", f"MLFLOW_TRACKING_URI={store}"]
    assert shlex.split(run)[:3] == ["mlflow", "run", "my project"]


def test_a_project_that_is_there_stays(tmp_path, capsys):
    file = tmp_path / "MLproject"
    file.write_text("mine")
    assert main(["project", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {file} exists; --force replaces it\n"
    assert file.read_text() == "mine"
    assert main(["project", str(tmp_path), "--force"]) == 0
    assert file.read_text() != "mine"


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "project"
    assert main(["project", str(folder)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {folder / 'MLproject'} cannot be written: ")
