"""`python -m serving watch`: what it prints, writes and returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving.__main__ import main
from serving.rollout.model_registry import Registered, Registry
from tests.serving.watching.logs import MODEL, batches, images, version, write


@pytest.fixture
def repository(tmp_path) -> Path:
    version(tmp_path / "models")
    write(tmp_path / "same" / "a.tfrecord", batches(images(200, 1)))
    write(tmp_path / "dark" / "a.tfrecord", batches(images(200, 1, light=0.4)))
    write(tmp_path / "few" / "a.tfrecord", batches(images(20, 1)))
    return tmp_path / "models"


@pytest.mark.parametrize(("log", "code"), [("same", 0), ("dark", 3)])
def test_drift_is_an_exit_code_and_a_report(repository, capsys, log, code):
    folder = repository.parent / "report"
    arguments = ["--log", str(repository.parent / log), "--repository", str(repository)]
    assert main(["watch", MODEL, *arguments, "--report", str(folder)]) == code
    printed = capsys.readouterr().out
    assert "input images: brightness" in printed
    assert ("as in validation" in printed) == (code == 0)
    assert sorted(path.name for path in folder.iterdir()) == ["drift.md", "drift.png"]


def test_without_a_folder_the_report_goes_to_mlflow(repository, monkeypatch, capsys):
    logged: dict[str, Any] = {}

    def log_report(self, found, name, folder, page, metrics):
        logged.update(metrics, files=sorted(path.name for path in folder.iterdir()))
        return "run 1"

    monkeypatch.setattr(Registry, "__init__", lambda self: None)
    monkeypatch.setattr(
        Registry,
        "find",
        lambda self, name, version: Registered(name, version, "run", "", "", (), {}),
    )
    monkeypatch.setattr(Registry, "log_report", log_report)
    log = str(repository.parent / "dark")
    assert main(["watch", MODEL, "--log", log, "--repository", str(repository)]) == 3
    assert logged["drift/serving_default/input images: brightness"] > 0.2
    assert logged["files"] == ["drift.md", "drift.png"]
    assert "report   run 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--log", "few"], "too few to be judged; 100 are needed, as of validation"),
        (["--log", "none"], "there is no file none"),
        (["--log", "few", "--version", "9"], "has no version 9 of m"),
        (["--log", "few", "--label", "canary"], "no version of m with the label canary; its"),
    ],
)
def test_a_users_mistake_is_a_sentence(repository, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(repository.parent)
    assert main(["watch", MODEL, *arguments, "--report", "report"]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("report").exists()
