"""What an installed distribution carries beside its modules, so that `serving up` works there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from serving.engines import images

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel of `serving` alone, which is quick, and returns the folder it is in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(ROOT / "serving", source / "serving", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    uv = [str(Path(sys.executable).parent / "uv"), "--offline", "--no-config", "--quiet"]
    subprocess.run(
        [*uv, "build", "--wheel", "--no-build-isolation", "-o", str(folder), str(source)],
        env={**os.environ, "VIRTUAL_ENV": sys.prefix},
        check=True,
        timeout=120,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.mark.parametrize("name", ["docker", "kubernetes"])
def test_it_carries_the_deployment_files(installed, name):
    def files(folder: Path) -> set[Path]:
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}

    there = files(ROOT / "serving" / name)
    assert there
    assert files(installed / "serving" / name) == there


def test_an_engine_finds_its_image_and_its_files_there(installed):
    code = (
        "from serving.engines import engine, images\n"
        "print(engine.__file__)\n"
        "print(images.tensorflow_serving(gpu=True))\n"
        "print(engine.MONITORING_CONFIG.is_file())\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=installed,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    file = str(installed / "serving" / "engines" / "engine.py")
    assert printed == [file, images.tensorflow_serving(gpu=True), "True"]
