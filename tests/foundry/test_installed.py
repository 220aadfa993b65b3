"""The wheel, installed outside a checkout in a path with a space: train, deploy, serve, query."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("architectures", "foundry", "pipelines", "serving")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installs the wheel into an environment that sees this one's requirements."""
    folder = tmp_path_factory.mktemp("an installation")
    source, target = folder / "source", folder / "environment"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    venv.create(target, symlinks=True)
    (site,) = target.glob("lib/python*/site-packages")
    (site / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    uv = str(Path(sys.executable).parent / "uv")
    install = [
        *(uv, "pip", "install", "--offline", "--no-config", "--quiet", "--no-deps"),
        *("--no-build-isolation", "--python", str(target / "bin" / "python"), str(source)),
    ]
    subprocess.run(install, check=True, timeout=180)
    return target


@pytest.fixture(scope="module")
def work(environment: Path) -> Iterator[Path]:
    folder = environment.parent / "work"
    folder.mkdir()
    yield folder
    run(environment, folder, "down")


def run(environment: Path, folder: Path, *arguments: str) -> str:
    """Runs `foundry` in a folder and returns what it prints."""
    left_out = {"MLFLOW_TRACKING_URI", "PYTHONPATH", "VIRTUAL_ENV"}
    done = subprocess.run(
        [environment / "bin" / "foundry", *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key not in left_out},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_it_trains_deploys_serves_and_queries(environment, work):
    assert run(environment, work, "--version").startswith("keras-foundry 0.")
    options = ("--epochs", "1", "--figures", "false", "--name", "digits")
    assert "models:/digits/1" in run(environment, work, "train", "image_classification", *options)
    deployed = run(
        environment,
        work,
        *("deploy", "digits", "--version", "1", "--force", "--engine", "embedded"),
    )
    assert "digits version 1 deployed: models/digits/1" in deployed
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        port, rest_port = (str(each.getsockname()[1]) for each in (one, other))
    engine = ("--engine", "embedded", "--port", port, "--rest_port", rest_port)
    run(environment, work, "up", "--detach", *engine)
    assert "AVAILABLE" in run(environment, work, "status", "digits")
    examples = "models/digits/1/assets.extra/examples"
    answers = run(environment, work, "query", "digits", examples, "--picture", "answers.png")
    assert len(answers.splitlines()) >= 8
    assert (work / "answers.png").stat().st_size > 10_000
    assert {file.name for file in work.iterdir()} == {"answers.png", "mlruns", "models"}
