"""The wheel: the same bytes each time, and what it does in a path with a space.

It is installed outside a checkout, trains, deploys, serves and is queried. `make pythons` does that
under other Pythons, too, each in an empty environment that gets what requirements.lock names.
"""

from __future__ import annotations

import os
import re
import shlex
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
VERSIONS = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
# The Pythons of `make pythons`, by name or path.
OTHERS = os.environ.get("PYTHONS", "").split() or [
    f"python{version}" for version in VERSIONS if version != sysconfig.get_python_version()
]
SMALL = ("--epochs", "1", "--figures", "false")


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
    return built(tmp_path_factory.mktemp("Zoë's installation"))


@pytest.fixture(scope="module", params=["this", *OTHERS])
def environment(wheel: Path, request: pytest.FixtureRequest) -> Path:
    """Installs the wheel into an environment of this Python, or of another one."""
    target = wheel.parent / Path(request.param).name
    if request.param == "this":
        # It sees the requirements that are installed here.
        venv.create(target, symlinks=True)
        (site,) = target.glob("lib/python*/site-packages")
        (site / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    else:
        _install_all(target, request.param)
    install(target, "--offline", "--no-deps", str(wheel))
    return target


def _install_all(target: Path, python: str) -> None:
    """Creates an environment of a Python with all requirements, if that is asked for."""
    if "PYTHONS" not in os.environ:
        pytest.skip("3 GB and minutes for each Python: make pythons")
    try:
        subprocess.run([python, "-m", "venv", "--without-pip", str(target)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no environment of {python}: {error}")
    for name in ("requirements-build.lock", "requirements.lock"):
        install(
            *(target, "--require-hashes", "--no-deps", "--no-build-isolation"),
            *("--requirement", str(ROOT / name)),
        )


def install(environment: Path, *arguments: str) -> None:
    command = [UV, "pip", "install", "--quiet", "--python", str(environment / "bin" / "python")]
    subprocess.run([*command, *arguments], check=True, timeout=900)


@pytest.fixture(scope="module")
def work(environment: Path) -> Iterator[Path]:
    folder = environment.with_name(f"work under {environment.name}")
    folder.mkdir()
    yield folder
    run(environment, folder, "foundry", "down")


def run(environment: Path, folder: Path, *command: str, code: int = 0, **variables: str) -> str:
    """Runs an installed program in a folder and returns what it prints."""
    left_out = {"MLFLOW_TRACKING_URI", "PYTHONPATH", "VIRTUAL_ENV"}
    program, *arguments = command
    programs = environment / "bin"
    inherited = {key: value for key, value in os.environ.items() if key not in left_out}
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [programs / program, *arguments],
        cwd=folder,
        env={**inherited, **path, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_two_builds_are_the_same_bytes(wheel, tmp_path):
    again = built(tmp_path)
    assert again.name == wheel.name == f"keras_foundry-{PROJECT['version']}-py3-none-any.whl"
    assert again.read_bytes() == wheel.read_bytes()


def test_it_has_the_extras_of_the_project(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    extras = re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE)
    assert set(extras) == set(PROJECT["optional-dependencies"]) == {"dev", "gpu", "ray"}


def test_the_versions_of_python_are_the_same_everywhere():
    first, end = map(int, re.findall(r"3\.(\d+)", PROJECT["requires-python"]))
    versions = [f"3.{minor}" for minor in range(first, end)]
    assert versions == VERSIONS
    words = f"{', '.join(versions[:-1])} or {versions[-1]}"
    assert f"Python {words}" in (ROOT / "README.md").read_text()
    assert f"Python {words} is missing" in (ROOT / "Makefile").read_text()
    assert words.replace("or", "and") in (ROOT / "docs" / "releasing.md").read_text()


def test_it_trains_deploys_serves_and_queries(environment, work):
    def foundry(*arguments: str) -> str:
        return run(environment, work, "foundry", *arguments)

    assert foundry("--version") == f"keras-foundry {PROJECT['version']}\n"
    trained = foundry("train", "image_classification", *SMALL, "--name", "digits")
    assert "models:/digits/1" in trained
    deployed = foundry("deploy", "digits", "--version", "1", "--force", "--engine", "embedded")
    assert "digits version 1 deployed: models/digits/1" in deployed
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        port, rest_port = (str(each.getsockname()[1]) for each in (one, other))
    engine = ("--engine", "embedded", "--port", port, "--rest_port", rest_port)
    foundry("up", "--detach", *engine)
    assert "AVAILABLE" in foundry("status", "digits")
    examples = "models/digits/1/assets.extra/examples"
    answers = foundry("query", "digits", examples, "--picture", "answers.png")
    assert len(answers.splitlines()) >= 8
    assert (work / "answers.png").stat().st_size > 10_000
    assert {file.name for file in work.iterdir()} == {"answers.png", "mlruns", "models"}


def test_a_project_that_it_writes_runs_its_pipelines(environment, work):
    written = run(environment, work, "foundry", "project", "my project")
    (store,) = re.findall(r"export MLFLOW_TRACKING_URI=(.*)", written)
    (store,) = shlex.split(store)

    def project(*parameters: str, code: int = 0) -> str:
        options = ("-e", "image_classification", "--env-manager=local", *parameters)
        command = ("python", "-m", "mlflow", "run", "my project", *options)
        return run(environment, work, *command, code=code, MLFLOW_TRACKING_URI=store)

    # All that differs from training as above is how it begins.
    assert "and 100000, not 0" in project("-P", "epochs=0", code=1)
    if environment.name != "this":
        assert "models:/digits/2" in project("-P", "epochs=1", "-P", "figures=false")
    assert [file.name for file in (work / "my project").iterdir()] == ["MLproject"]
