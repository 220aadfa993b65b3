"""MLproject, written from the table of pipelines: one entry point for each."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.catalog import PIPELINES
from pipelines.config import Config

# The options that people change most. MLflow passes any other on: `-P patience=5` becomes
# `--patience 5`.
_OPTIONS = (
    "teacher",
    "dataset",
    "architecture",
    "epochs",
    "batch_size",
    "optimizer.learning_rate",
    "seed",
)
_TYPES = {str: "string", int: "int", float: "float"}
_HEADER = """\
# Written by `python -m pipelines mlproject`.
name: keras-foundry

{environment}entry_points:
  main:
    command: "python -m pipelines image_classification"

  sweep:
    parameters:
      pipeline: {type: string, default: image_classification}
      space: {type: path}
      trials: {type: int, default: 20}
    command: >-
      python -m pipelines sweep {pipeline} --space {space} --trials {trials}
"""


# Where entry points run: in the environment of a checkout; in containers, whose image MLflow builds
# on top of this one; or in the environment that is there.
PYTHON_ENV = "python_env: python_env.yaml\n\n"
CONTAINER = "docker_env:\n  image: keras-foundry:0.2.0\n\n"
INSTALLED = ""


def text(environment: str = PYTHON_ENV) -> str:
    """Returns the content of MLproject for entry points that run in `environment`."""
    header = _HEADER.replace("{environment}", environment)
    entries = (_entry_point(name, row.defaults) for name, row in PIPELINES.items())
    return "\n".join([header, *entries])


def aliases(config: Config) -> dict[str, object]:
    """Returns options by the names under which `mlflow run` logs them, where these are others.

    Without them MLflow calls the option of a run that was started otherwise "unknown".
    """
    parameters = config.parameters()
    named = {_parameter(option): option for option in _OPTIONS}
    return {name: parameters[option] for name, option in named.items() if name != option}


def _entry_point(pipeline: str, defaults: Config) -> str:
    parameters = defaults.parameters()
    options = [option for option in _OPTIONS if parameters.get(option, "") != ""]
    lines = [f"  {pipeline}:", "    parameters:"]
    for option in options:
        default = parameters[option]
        lines.append(
            f"      {_parameter(option)}: {{type: {_TYPES[type(default)]}, default: {default}}}"
        )
    lines += ["    command: >-", f"      python -m pipelines {pipeline}"]
    arguments = [f"--{option} {{{_parameter(option)}}}" for option in options]
    lines += (f"      {line}" for line in _wrapped(arguments))
    return "\n".join([*lines, ""])


def _parameter(option: str) -> str:
    """Returns an option's name as an MLflow parameter, without its group: "learning_rate"."""
    return option.rpartition(".")[2]


def _wrapped(arguments: list[str], width: int = 90) -> Iterator[str]:
    """Yields lines of whole arguments, each at most `width` characters wide."""
    line = ""
    for argument in arguments:
        if line and len(line) + 1 + len(argument) > width:
            yield line
            line = ""
        line = f"{line} {argument}".strip()
    yield line
