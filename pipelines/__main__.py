"""`python -m pipelines PIPELINE [--option value …]`: what MLproject's entry points call."""

from __future__ import annotations

import importlib
import logging
import math
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import jsonargparse
from rich.table import Table

from pipelines import PIPELINES
from pipelines.errors import UserError, ValidationError
from pipelines.progress import console, quiet
from pipelines.recipe import Config, Recipe, check

if TYPE_CHECKING:
    from pipelines.pipeline import Result


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code.

    0: done. 1: the work failed. 2: a choice cannot work. 130: interrupted.
    """
    # `mlflow run` ends its child with SIGTERM when it is interrupted itself.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        pipeline, config = parse(arguments)
        check(config)
        result = _run(pipeline, config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ValidationError as error:
        print(f"error: {error}; nothing was registered", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the run was closed as KILLED, nothing was registered", file=sys.stderr)
        return 130
    _show(config, result)
    return 0


def parse(arguments: Sequence[str]) -> tuple[str, Config]:
    """Returns the pipeline's name and the choices for it; prints help and exits if asked to.

    Raises:
        UserError: An unknown pipeline or option, or a value of the wrong type.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        _list_pipelines()
        raise SystemExit(0)
    name, *options = arguments
    if name not in PIPELINES:
        raise UserError(f"unknown pipeline {name!r}; known are: {', '.join(PIPELINES)}")
    parser = _parser(name)
    try:
        chosen = parser.parse_args(options)
        if chosen.architecture != PIPELINES[name].defaults.architecture:
            # The default hyperparameters are the default architecture's.
            parser.set_defaults({"model": {}})
            chosen = parser.parse_args(options)
    except jsonargparse.ArgumentError as error:
        raise UserError(_one_sentence(str(error))) from error
    values = parser.instantiate(chosen).as_dict()
    kind = type(PIPELINES[name].defaults)
    own, recipe = ({f.name: values.get(f.name) for f in fields(c)} for c in (kind, Recipe))
    return name, kind(**own | {"recipe": Recipe(**recipe)})


def _parser(pipeline: str) -> jsonargparse.ArgumentParser:
    """Returns a parser whose options are the fields of the dataclasses, with their docstrings."""
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=f"python -m pipelines {pipeline}",
        description=PIPELINES[pipeline].summary,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", action="config", help="File of options, as a run's config.yaml."
    )
    parser.add_class_arguments(type(PIPELINES[pipeline].defaults), skip={"recipe"})
    parser.add_class_arguments(Recipe)
    parser.set_defaults(PIPELINES[pipeline].defaults.options())
    return parser


def _one_sentence(message: str) -> str:
    """Turns the parser's message into `--option: what was expected, what was given`."""
    message = re.sub(r"^Parser key \"([^\"]+)\":", r"--\1:", message)
    message = re.sub(r"<class '(\w+)'>", r"\1", message)
    message = message.replace(" Expected a typing.Literal", " must be one of ")
    message = message.replace(" Expected a ", " must be of type ").replace(". Got value:", ", not")
    return " ".join(message.split())


def _list_pipelines() -> None:
    table = Table("pipeline", "task", "default data set", "default architecture", box=None)
    for name, pipeline in PIPELINES.items():
        defaults = pipeline.defaults
        table.add_row(name, pipeline.summary, defaults.dataset, defaults.architecture)
    console.print("usage: python -m pipelines PIPELINE [--help] [--option value …]\n")
    console.print(table)


def _run(pipeline: str, config: Config) -> Result:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with console.status("loading TensorFlow"), quiet():
        module = importlib.import_module(f"pipelines.{pipeline}")
        road = importlib.import_module("pipelines.pipeline")
    # What libraries say in passing would tear the bars apart.
    for library in ("absl", "mlflow", "urllib3"):
        logging.getLogger(library).setLevel(logging.ERROR)
    task = getattr(module, PIPELINES[pipeline].task)()
    return road.run(pipeline, task, config)


def _show(config: Config, result: Result) -> None:
    """Prints what the run made, where, and the next commands to type."""
    run, baseline, version = result.run, result.baseline, result.version
    table = Table("", config.architecture, "baseline", "margin", "95 % interval")
    compared = result.metric
    rows = [("validation", compared, baseline.validation[compared])]
    rows += [("test", metric, score) for metric, score in baseline.test.items()]
    for split, metric, score in rows:
        own = result.metrics[f"{split}_{metric}"]
        low, high = result.intervals.get(metric, (math.nan, math.nan))
        interval = "" if split == "validation" or low != low else f"{low:.4f} … {high:.4f}"
        row = (f"{own:.4f}", f"{score:.4f}", f"{own - score:+.4f}", interval)
        table.add_row(f"{split} {metric}", *row)
    console.print(table)
    console.print(version.reason, soft_wrap=True)
    console.print(f"baseline   {baseline.name}", soft_wrap=True)
    alias = f" @{version.alias}" if version.alias else ""
    for what, where in (
        ("run", f"{run.uri} in {run.store}"),
        ("registered", f"models:/{version.name}/{version.number}{alias}"),
        ("SavedModel", version.saved_model),
    ):
        console.print(f"{what:<11}{where}", soft_wrap=True)
    deploy = "" if version.alias == "champion" else f" --version {version.number}"
    console.print(f"next       python -m serving deploy {version.name}{deploy}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
