"""The client as a distribution of its own: what is in it, what it needs, how soon it is there."""

from __future__ import annotations

import ast
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "serving/client_distribution/pyproject.toml").read_text())
WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
SITE = Path(sysconfig.get_path("purelib"))
# Where the requirements lie; grpcio has one of its own.
REQUIRED = [
    *("grpc", "google/protobuf", "google/_upb", "numpy", "numpy.libs", "typing_extensions.py"),
]


def imported(module: str) -> set[str]:
    """Returns a module of `serving` with those that it imports, however far away."""
    found: set[str] = set()
    left = {module}
    while left:
        name = left.pop()
        found.add(name)
        for node in ast.walk(ast.parse(file_of(name).read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "serving":
                inner = (f"{node.module}.{alias.name}" for alias in node.names)
                left |= {m if file_of(m).exists() else str(node.module) for m in inner} - found
    return found


def file_of(module: str) -> Path:
    """Returns where the source of a module would be; that of a package is its `__init__`."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_it_holds_the_clients_and_what_they_import():
    packages = [ROOT / name.replace(".", "/") for name in SETUPTOOLS["packages"]]
    held = set(SETUPTOOLS["py-modules"]) | {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in packages
        for path in package.glob("*.py")
    }
    needed = imported("serving.client.client") | imported("serving.client.async_client")
    for package in ("serving", *SETUPTOOLS["packages"]):  # An import of a package runs this.
        needed = (needed - {package}) | {f"{package}.__init__"}
    # The records of a SavedModel are read by rollouts alone; they need nothing more.
    assert held == needed | {"serving.protocol.tfrecord"}
    assert imported("serving.protocol.tfrecord") == {"serving.protocol.tfrecord"}


def test_it_is_of_the_same_version_as_the_whole():
    for key in ("version", "license"):
        assert PROJECT["project"][key] == WHOLE["project"][key]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Builds and installs it; returns the environment of an interpreter with nothing else."""
    folder = tmp_path_factory.mktemp("client")
    shutil.copytree(
        ROOT / "serving",
        folder / "serving",
        ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"),
    )
    uv = [Path(sys.executable).parent / "uv"]
    options: list[object] = ["--offline", "--no-config", "--quiet"]
    source = folder / "serving" / "client_distribution"
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    for command in (
        [*uv, "build", *options, "--wheel", "--no-build-isolation", "-o", folder, source],
        [*uv, "pip", "install", *options, "--no-deps", "--target", folder / "alone",
         folder / f"keras_foundry_client-{PROJECT['project']['version']}-py3-none-any.whl"],
    ):  # fmt: skip
        subprocess.run([str(part) for part in command], env=environment, check=True, timeout=120)
    for name in REQUIRED:
        (folder / "required" / name).parent.mkdir(parents=True, exist_ok=True)
        if (SITE / name).exists():
            (folder / "required" / name).symlink_to(SITE / name)
    shutil.rmtree(folder / "serving")
    return {"PYTHONPATH": f"{folder / 'alone'}:{folder / 'required'}", "PATH": os.environ["PATH"]}


def python(environment: dict[str, str], code: str) -> list[str]:
    """Runs code without the site's packages and returns the lines that it printed."""
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        env=environment,
        cwd=environment["PYTHONPATH"].partition(":")[0],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()


def test_alone_it_asks_a_model_without_tensorflow(installed, address):
    printed = python(
        installed,
        "import sys, asyncio, importlib.util, numpy as np\n"
        "from serving.client import Client\n"
        "from serving.client import AsyncClient\n"
        f"with Client({address!r}, timeout=20) as client:\n"
        "    print(client.wait_until_ready('half_plus_two', timeout=20))\n"
        "    print(client.predict('half_plus_two', {'x': np.ones(1, np.float32)})['y'])\n"
        "async def ask():\n"
        f"    async with AsyncClient({address!r}, timeout=20) as client:\n"
        "        print((await client.predict('echo', {'text': ['a']}))['text'])\n"
        "asyncio.run(ask())\n"
        "print('tensorflow' in sys.modules, importlib.util.find_spec('tensorflow'))\n"
        "print(importlib.util.find_spec('serving.server'))\n",
    )
    assert printed == ["1", "[2.5]", "[b'a']", "False None", "None"]


def test_its_import_is_short_beside_that_of_its_requirements(installed):
    """Seconds of processor time, which a busy machine stretches less than the clock's."""
    code = (
        "import time\n"
        "begun = time.process_time()\n"
        "import numpy, grpc, google.protobuf.message_factory\n"
        "between = time.process_time()\n"
        "import serving.client.client, serving.client.async_client\n"
        "print(between - begun, time.process_time() - between)\n"
    )
    runs = [map(float, python(installed, code)[0].split()) for _ in range(3)]
    required, own = map(statistics.median, zip(*runs, strict=True))
    assert own < required
    assert required + own < 0.5
