"""The options of a sweep, beside those of its pipeline."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonargparse
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pipelines import catalog, cli
from pipelines.bounds import Between, bounds
from pipelines.config import Config, check
from pipelines.errors import UserError
from pipelines.sweep import space as spaces
from pipelines.sweep.space import Choices, Space

_DEFAULT_TRIALS = 20
# Options that decide neither what a trial computes nor what it is compared by.
_LABELS = ("name", "figures", "run_name", "tag", "note")


@dataclass(frozen=True)
class SweepOptions:
    """How a space is searched."""

    space: str = ""
    """YAML file of the options that vary, each with a range or choices."""
    trials: Annotated[int, Between(0, 1_000_000)] = 0
    """Number of trials in all, over all processes; 0: 20, or the whole grid."""
    sampler: Literal["tpe", "random", "grid", "cma_es"] = "tpe"
    """Tree-structured Parzen estimators (Bergstra et al. 2011), random, grid, or CMA-ES."""
    pruner: Literal["none", "median", "successive_halving"] = "median"
    """Which trials end early: worse than the median, or by asynchronous successive halving."""
    trial_epochs: Annotated[int, Between(0, 100_000)] = 0
    """Epochs of a trial, where the winner trains longer; 0: --epochs."""
    sweep: str = ""
    """Name of the sweep, which a later command continues; empty follows from the choices."""
    storage: str = ""
    """Database of sweeps, as an SQLAlchemy URL; empty: sweeps.db beside the MLflow store."""


@dataclass(frozen=True)
class Sweep:
    """A sweep, checked.

    Attributes:
        pipeline: Name of the pipeline.
        arguments: The options that all trials share, as on the command line.
        options: How the space is searched.
        space: The options that vary.
    """

    pipeline: str
    arguments: tuple[str, ...]
    options: SweepOptions
    space: Space

    @property
    def trials(self) -> int:
        """The number of trials in all."""
        grid = spaces.size(self.space) if self.options.sampler == "grid" else None
        chosen = self.options.trials or grid or _DEFAULT_TRIALS
        return min(chosen, grid) if grid else chosen

    @cached_property
    def definition(self) -> dict[str, Any]:
        """What makes values of trials comparable; a sweep cannot be continued with another."""
        shared = self.config({}).parameters()
        return {
            "pipeline": self.pipeline,
            "space": {name: repr(parameter) for name, parameter in self.space.items()},
            "options": {
                name: value
                for name, value in shared.items()
                if name not in _LABELS and name not in self.space
            },
            "trial_epochs": self.options.trial_epochs,
        }

    @cached_property
    def name(self) -> str:
        digest = hashlib.sha256(json.dumps(self.definition, sort_keys=True).encode()).hexdigest()
        return self.options.sweep or f"{self.pipeline}-{digest[:8]}"

    def config(self, values: Mapping[str, Any]) -> Config:
        """Returns the config of the pipeline with some options of the space."""
        return _config(self.pipeline, [*self.arguments, *flags(values)])

    def command(self, values: Mapping[str, Any]) -> list[str]:
        """Returns the arguments of the command that trains with some options."""
        return [self.pipeline, *self.arguments, *flags(values)]


def flags(values: Mapping[str, Any]) -> list[str]:
    """Returns options as arguments of the command line."""
    return [
        f"--{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
    ]


def parse(arguments: Sequence[str], prog: str = cli.PROGRAM) -> Sweep:
    """Returns the sweep of a command line; prints the help and exits if asked to.

    Args:
        arguments: The pipeline's name, then options of the sweep and of the pipeline.
        prog: What the help calls the program, without "sweep".

    Raises:
        UserError: An option, the space or one of its values cannot be used.
    """
    parser = parser_of(prog)
    if not arguments or arguments[0] in ("-h", "--help"):
        parser.print_help()
        sys.exit(0)
    pipeline = arguments[0].replace("-", "_")
    catalog.get(pipeline)
    own, others = _split(arguments[1:])
    if set(others) & {"-h", "--help"}:
        parser.print_help()
        sys.exit(0)
    try:
        options = SweepOptions(**parser.parse_args(own).as_dict())
    except jsonargparse.ArgumentError as error:
        raise UserError(cli.one_sentence(str(error), _NAMES)) from error
    _check(options)
    base = _config(pipeline, others)
    check(base)
    catalog.check_trained_teacher(base)
    if base.resume:
        raise UserError("--resume is for runs; the same command goes on with a sweep")
    if base.find_learning_rate:
        raise UserError("--find_learning_rate trains nothing, and is no option of a sweep")

    def configure(values: Mapping[str, Any]) -> Config:
        return _config(pipeline, [*others, *flags(values)])

    space = spaces.read(Path(options.space), configure)
    for name in space:
        if any(each.partition("=")[0].replace("-", "_") == f"__{name}" for each in others):
            raise UserError(f"--{name} varies by {options.space}, and cannot be chosen as well")
    _check_sampler(options, space)
    return Sweep(pipeline, tuple(others), options, space)


_NAMES = tuple(field.name for field in fields(SweepOptions))


def parser_of(prog: str = cli.PROGRAM) -> jsonargparse.ArgumentParser:
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=f"{prog} sweep",
        usage=f"{prog} sweep PIPELINE --space FILE [--trials N] [--option value …]",
        description="Trains a pipeline with many options, and fully with the best of them. All "
        "options of the pipeline are options of its trials.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_class_arguments(SweepOptions)
    return parser


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the arguments of the sweep, and those of the pipeline; "--" may stand between."""
    own: list[str] = []
    others: list[str] = []
    target = others
    for argument in arguments:
        if argument == "--":
            continue
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            name = name.replace("-", "_")
            target = own if name in _NAMES else others
            argument = f"--{name}{equals}{value}" if target is own else argument
        target.append(argument)
    return own, others


def _config(pipeline: str, arguments: Sequence[str]) -> Config:
    return cli.parse([pipeline, *arguments])[1]


def _check(options: SweepOptions) -> None:
    if not options.space:
        raise UserError("--space FILE is missing: a YAML file of the options that vary")
    for name, between in bounds(SweepOptions).items():
        value = getattr(options, name)
        if not between.low <= value <= between.high:
            raise UserError(f"--{name} must be {between}, not {value}")
    if options.storage:
        try:
            make_url(options.storage)
        except ArgumentError as error:
            raise UserError(
                "--storage must be an SQLAlchemy URL, as sqlite:////folder/sweeps.db or "
                f"postgresql://host/database, not {options.storage!r}"
            ) from error


def _check_sampler(options: SweepOptions, space: Space) -> None:
    ranges = [name for name, parameter in space.items() if not isinstance(parameter, Choices)]
    if options.sampler == "grid":
        for name in ranges:
            if space[name].grid() is None:
                raise UserError(f"--sampler grid needs a step, or a list of choices, for {name}")
    if options.sampler == "cma_es" and len(ranges) < 2:
        raise UserError(
            "--sampler cma_es needs two ranges at least, as it adapts a covariance; "
            f"{options.space} has {len(ranges)}"
        )
