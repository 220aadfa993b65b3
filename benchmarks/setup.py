"""Setting up: imports, the commands' help, MLflow's first page, and `make demo` from nothing.

Every command runs in a process of its own. Imports and help count by processor time. MLflow's pages
count from the command to the first answer, and their memory is that of all processes then, of which
shared pages count once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks import systems
from benchmarks.comparison import (
    Comparison,
    add_rounds,
    console,
    rounds_of,
    show_and_log,
)
from benchmarks.processes import ROOT, ProcessFailedError, started
from serving.engines.ports import free_port, free_ports

IMPORTS = ("architectures", "pipelines.catalog", "serving.client")
COMMANDS = (
    "architectures --help",
    "pipelines --help",
    "pipelines image_classification --help",
    "serving --help",
    "serving deploy --help",
)
_HELP_SECONDS = 1.0
_OPEN_STORE = "from pipelines.store import open_store; open_store()"
_Pages = tuple[float, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    names = list(PARTS)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names[:-1],
        metavar="NAME",
        help=f"of {', '.join(names)} (default: all but demo, which installs everything)",
    )
    add_rounds(parser, "three rounds, MLflow's pages in one")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
        ProcessFailedError: A command failed.
    """
    rounds = rounds_of(options)
    found: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="foundry-benchmark-") as folder:
        for name in options.only:
            with console.status(name):
                once = options.quick or name == "demo"
                found += PARTS[name](1 if once and name in ("ui", "demo") else rounds, Path(folder))
    show_and_log("setup", "Setting up", vars(options), found)


def imports(rounds: int, folder: Path) -> list[Comparison]:
    """Returns the processor time of imports beside that of TensorFlow."""
    costs: dict[str, list[float]] = {name: [] for name in (*IMPORTS, "tensorflow")}
    for _ in range(rounds):
        for name, measured in costs.items():
            command = [sys.executable, "-c", f"import {name}"]
            measured.append(child_cpu_seconds(command, folder))
    other = costs.pop("tensorflow")
    return [
        Comparison(f"import {name}", "import tensorflow", "CPU s", own, other)
        for name, own in costs.items()
    ]


def helps(rounds: int, folder: Path) -> list[Comparison]:
    """Returns the processor time of the commands' help, which should be less than a second."""
    limit = [_HELP_SECONDS] * rounds
    found = []
    for command in COMMANDS:
        arguments = [sys.executable, "-m", *command.split()]
        own = [child_cpu_seconds(arguments, folder) for _ in range(rounds)]
        found.append(Comparison(command, "one second", "CPU s", own, limit, goal=1.0))
    return found


def pages(rounds: int, folder: Path) -> list[Comparison]:
    """Returns the time of MLflow's first page, and its memory, beside `mlflow ui`."""
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    seconds([sys.executable, "-c", _OPEN_STORE], folder, store)
    own, other = ([sys.executable, "-m", name, "ui"] for name in ("pipelines", "mlflow"))
    measured: dict[str, list[_Pages]] = {"own": [], "other": []}
    for number in range(rounds):
        for name, command in (("own", own), ("other", other))[:: 1 if number % 2 else -1]:
            measured[name].append(first_page(command, folder, store))
    (own_times, own_memory), (times, memory) = (
        zip(*measured[name], strict=True) for name in ("own", "other")
    )
    return [
        Comparison("make ui, first page", "mlflow ui", "s", own_times, times, goal=2.0),
        Comparison("make ui, memory", "mlflow ui", "MiB", own_memory, memory, goal=2.0),
    ]


def demo(rounds: int, folder: Path) -> list[Comparison]:
    """Returns the time of `make demo` in a fresh clone, beside that of installing alone."""
    own, other = [], []
    for _ in range(rounds):
        clone = folder / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        seconds(["git", "clone", "--quiet", str(ROOT), str(clone)], folder)
        port, rest_port = free_ports(2)
        make = ["make", "-C", str(clone), f"PORT={port}", f"REST_PORT={rest_port}"]
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{clone}/mlruns/mlflow.db"}
        other.append(seconds([*make, "install"], folder, store))
        own.append(other[-1] + seconds([*make, "demo"], folder, store))
    return [Comparison("make demo from nothing", "make install", "s", own, other)]


PARTS: Mapping[str, Callable[[int, Path], list[Comparison]]] = {
    "imports": imports,
    "help": helps,
    "ui": pages,
    "demo": demo,
}


def seconds(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> float:
    """Runs a command to its end; returns the seconds it took.

    Raises:
        ProcessFailedError: It failed.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    begun = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ProcessFailedError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - begun


def child_cpu_seconds(command: Sequence[str], folder: Path) -> float:
    """Runs a command to its end; returns its processor time, which others change little."""
    before = os.times()
    seconds(command, folder)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def first_page(command: Sequence[str], folder: Path, store: Mapping[str, str]) -> _Pages:
    """Starts MLflow's UI; returns the seconds until its first page, and the MiB it holds then."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    store_options = ["--backend-store-uri", store["MLFLOW_TRACKING_URI"]]
    options = ["--port", str(port), *(store_options if "mlflow" in command else [])]
    begun = time.perf_counter()
    with started(
        [*command, *options],
        folder / "ui.log",
        lambda: systems.answers(address, "/"),
        environment=store,
    ) as process:
        took = time.perf_counter() - begun
        parent = psutil.Process(process.pid)
        return took, sum(map(_memory, [parent, *parent.children(recursive=True)])) / 2**20


def _memory(process: psutil.Process) -> int:
    """Returns bytes of memory; of pages that processes share, a part, where the system tells."""
    try:
        held = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0
    return getattr(held, "pss", held.rss)
