"""What understands the commands on pages: for each program the parser that it has itself.

A reader takes the arguments of a command and raises an exception if the program would refuse them.
Files that a command names need not be there; options, values and all other names have to be right.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import mlflow.cli
import yaml
from mlflow import environment_variables
from packaging.requirements import Requirement

from architectures import check as check_architecture
from architectures import names
from architectures.__main__ import parser_of as architectures_parser
from foundry.__main__ import commands as foundry_commands
from foundry.__main__ import main as foundry_main
from pipelines import cli
from pipelines.catalog import PIPELINES
from pipelines.comparison.options import parser_of as comparison_parser
from pipelines.config import check
from pipelines.sweep import options as sweep_options
from pipelines.variants.options import parser_of as export_parser
from serving.__main__ import parse as parse_serving
from serving.server import flags
from serving.server.rest import api
from tests.pages import ROOT

Arguments = Sequence[str]
TARGETS = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
METRICS = "/monitoring/prometheus/metrics"


def pipelines(arguments: Arguments) -> None:
    """`python -m pipelines …`, whose configs are checked as far as a run does before it starts."""
    first, *rest = arguments or ["--help"]
    if first in ("--help", "mlproject"):
        assert not rest
    elif first == "compare":
        comparison_parser().parse_args(rest)
    elif first == "export":
        assert "=" not in "".join(export_parser().parse_args(rest).variants)
    elif first == "sweep":
        sweep_options.parse(rest)
    elif first in ("ui", "data_service"):
        assert all(re.fullmatch(r"--(port|workers)|\d+", each) for each in rest), rest
    elif "--help" in rest or "?" in rest:
        assert first in PIPELINES
    else:
        _, config = cli.parse([first, *rest])
        check(config)


def serving(arguments: Arguments) -> None:
    assert parse_serving(arguments).command


def foundry(arguments: Arguments) -> None:
    """`foundry …`: the words of the three packages, and a few of its own, which are run."""
    name, *rest = arguments
    command = foundry_commands().get(name)
    if command is None or command.module.startswith("foundry."):
        assert foundry_main(arguments) == 0, arguments
    elif command.module == "pipelines.__main__":
        pipelines([*command.words, *rest])
    elif command.module == "serving.__main__":
        serving([*command.words, *rest])
    else:
        architectures(rest)


def architectures(arguments: Arguments) -> None:
    options = architectures_parser().parse_args(arguments)
    if options.command == "show" and options.name != "NAME":
        assert options.name in names()
        pairs = (each.partition("=") for each in options.hyperparameters)
        check_architecture(options.name, {name: int(value) for name, _, value in pairs})


def benchmarks(arguments: Arguments) -> None:
    """One benchmark's options, read without importing the other benchmarks."""
    name, *rest = arguments
    parser = argparse.ArgumentParser()
    importlib.import_module(f"benchmarks.{name}").add_arguments(parser)
    parser.parse_args(rest)


def model_server(arguments: Arguments) -> None:
    known = {f"--{name}" for name in flags.Flags.__dataclass_fields__} | {
        f"--{name}" for name in flags.IGNORED
    }
    assert {each.partition("=")[0] for each in arguments} <= known
    flags.parse(arguments)


def mlflow_run(arguments: Arguments) -> None:
    """`mlflow run`: MLflow's own options, and the pipeline's of the entry point's command."""
    from mlflow.cli import run

    options = run.make_context("run", [*arguments]).params
    folder = ROOT if options["uri"] in (".", "GIT_URI") else ROOT / options["uri"]
    entries = yaml.safe_load((folder / "MLproject").read_text())["entry_points"]
    given = dict(each.split("=", 1) for each in options["param_list"])
    entry = options["entry_point"]
    known = {k: str(v.get("default")) for k, v in entries[entry].get("parameters", {}).items()}
    words = shlex.split(entries[entry]["command"].format(**known | given))
    others = [f"--{name}={value}" for name, value in given.items() if name not in known]
    assert words[:3] == ["python", "-m", "pipelines"]
    pipelines([*words[3:], *others])


def make(arguments: Arguments) -> None:
    assert set(arguments) <= TARGETS


def pip(arguments: Arguments) -> None:
    """`pip install`: a folder, a file, or a requirement, whose extras this project has."""
    verb, *rest = (each for each in arguments if not each.startswith("--"))
    assert verb == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for each in rest:
        if each.startswith((".", "dist/")) or each.endswith(".whl"):
            continue
        requirement = Requirement(each)
        if requirement.name == project["name"]:
            assert requirement.extras <= project["optional-dependencies"].keys()


def curl(arguments: Arguments) -> None:
    """`curl …`: the address is one that the server's REST API has."""
    (address,) = (each for each in arguments if "://" in each)
    path = urlsplit(address).path
    assert path == METRICS or api._STATUS.fullmatch(path) or api._INFERENCE.fullmatch(path), path


def named_files(arguments: Arguments) -> None:
    """`docker compose`, `kubectl apply`, `uv build`: what they read is in the repository."""
    found = [each for each in arguments if "/" in each and "=" not in each]
    assert found
    assert [each for each in found if not (ROOT / each).exists()] == []


def kubectl(arguments: Arguments) -> None:
    """`kubectl`: files of the repository, or pods by the label that they have there."""
    if arguments[0] == "apply":
        named_files(arguments)
        return
    label, value = arguments[arguments.index("--selector") + 1].split("=")
    assert f"{label}: {value}" in (ROOT / "serving/kubernetes/base/deployment.yaml").read_text()


def export(arguments: Arguments) -> None:
    """`export NAME=VALUE`: a variable that something reads; TF_CONFIG is JSON."""
    for each in arguments:
        name, _, value = each.partition("=")
        own = ("PGPASSWORD", "POSTGRES_PASSWORD", "REPOSITORY", "TF_CONFIG")
        assert name in own or hasattr(environment_variables, name), name
        if name == "TF_CONFIG":
            assert json.loads(value)["cluster"]["worker"]


def mlflow_server(arguments: Arguments) -> None:
    """`mlflow server`: its own parser reads the options."""
    mlflow.cli.server.make_context("server", [*arguments])


def pytest(arguments: Arguments) -> None:
    files = [each for each in arguments if each.endswith(".py")]
    found = [each for each in files if Path(each).exists() or (ROOT / each).exists()]
    assert all("NAME" in each or each in found for each in files), files


def program(arguments: Arguments) -> None:
    """`python FILE`, which is here, as the page has shown it, or `python -c CODE`."""
    if arguments[0] == "-c":
        compile(arguments[1], "command", "exec")
    else:
        assert Path(arguments[0]).is_file()


def nothing(arguments: Arguments) -> None:
    """A tool of the system, or a module of the tests: it takes what it is given."""


# The longest beginning counts.
READERS: dict[str, Callable[[Arguments], None]] = {
    "foundry": foundry,
    "python": program,
    "python -m pipelines": pipelines,
    "python -m serving": serving,
    "python -m serving.server": model_server,
    "python -m architectures": architectures,
    "python -m benchmarks": benchmarks,
    "python -m pytest": pytest,
    "python -m tests.architectures.smoke": nothing,
    "python -m pip": pip,
    "pip": pip,
    "mlflow run": mlflow_run,
    "mlflow server": mlflow_server,
    "make": make,
    "curl": curl,
    "docker build": named_files,
    "docker compose": lambda arguments: named_files([*filter(_is_file, arguments)]),
    "kubectl": kubectl,
    "uv build --wheel": lambda arguments: named_files(arguments[:1]),
    "export": export,
    ". .venv/bin/activate": nothing,
    ". serving/docker/.env": nothing,
    **dict.fromkeys(
        ("grep", "ls", "nvidia-smi", "openssl req", "paste", "printf", "sort", "tail"), nothing
    ),
}


def _is_file(argument: str) -> bool:
    return argument.endswith(".yaml")


def read(command: str) -> None:
    """Has the program of a command read its arguments.

    Raises:
        AssertionError: There is no such program here, or a name is wrong.
        Exception, SystemExit: The program's parser refuses the arguments.
    """
    inner = re.fullmatch(r'(?:\w+=|eval ")\$\((.*?)\)"?(?: +#.*)?', command, re.DOTALL)
    for each in (inner[1] if inner else command).split(" | "):
        _read_one(each)


def _read_one(command: str) -> None:
    words = shlex.split(command, comments=True)
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    words[0] = words[0].removeprefix(".venv/bin/")
    text = shlex.join(words).replace("'.'", ".")
    found = [each for each in READERS if f"{text} ".startswith(f"{each} ")]
    assert found, f"no reader for: {command}"
    start = max(found, key=len)
    READERS[start](words[len(start.split()) :])
