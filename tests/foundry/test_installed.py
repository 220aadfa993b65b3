"""The wheel: the same bytes each time, and what it does in a path with a space.

It is installed outside a checkout, trains, deploys, serves and is queried.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
UV = str(Path(sys.executable).parent / "uv")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("architectures", "drift", "foundry", "pipelines", "serving")


def built(folder: Path) -> Path:
    """Builds the wheel from a copy of the packages in a new folder, as `make wheel` does."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    build = [
        *(UV, "build", "--offline", "--no-config", "--quiet", "--no-build-isolation", "--wheel"),
        *("--python", sys.executable, "--out-dir", str(folder), str(source)),
    ]
    variables = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(build, check=True, timeout=180, env=variables)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("an installation"))


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """Installs the wheel into an environment that sees this one's requirements."""
    target = wheel.parent / "environment"
    venv.create(target, symlinks=True)
    (site,) = target.glob("lib/python*/site-packages")
    (site / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    install = [
        *(UV, "pip", "install", "--offline", "--no-config", "--quiet", "--no-deps"),
        *("--python", str(target / "bin" / "python"), str(wheel)),
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


def test_two_builds_are_the_same_bytes(wheel, tmp_path):
    again = built(tmp_path)
    assert again.name == wheel.name == f"keras_foundry-{PROJECT['version']}-py3-none-any.whl"
    assert again.read_bytes() == wheel.read_bytes()


def test_it_has_the_extras_of_the_project(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        extras = re.findall(r"^Provides-Extra: (.*)$", archive.read(name).decode(), re.MULTILINE)
    assert set(extras) == set(PROJECT["optional-dependencies"]) == {"dev", "gpu", "ray"}


def test_it_trains_deploys_serves_and_queries(environment, work):
    assert run(environment, work, "--version") == f"keras-foundry {PROJECT['version']}\n"
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
