"""The command line: from options, or the file of an earlier run, to a pipeline's config."""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import jsonargparse
from jsonargparse import Namespace

from architectures.words import nearest
from pipelines import catalog, option_groups
from pipelines.bounds import Between, bounds
from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.recipe import Recipe

PROGRAM = "python -m pipelines"
# What the default hyperparameters, and weights to begin with, become with another architecture.
_OWN = {"model": {}, "encoder": "", "inherit": False, "generator_divisor": 4}
_TYPES = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "dict": "a mapping",
    "list": "a list, as [1,2]",
}


def parse(arguments: Sequence[str], prog: str = PROGRAM) -> tuple[str, Config]:
    """Returns a pipeline's name and its config; prints the help and exits if asked to.

    Args:
        arguments: The pipeline's name, then its options.
        prog: What its help calls the program.

    Raises:
        UserError: An unknown pipeline or option, or a value of the wrong type.
    """
    name, *options = arguments
    name, options = re.sub(r"(?<=\w)-", "_", name), [*map(_option, options)]
    defaults = catalog.get(name).defaults
    parser = parser_of(name, prog)
    parser.set_defaults(defaults.options())
    try:
        chosen = parser.parse_args(options)
        if chosen.recipe:
            defaults = _of_recipe(name, chosen.recipe)
            parser.set_defaults(defaults.options())
            chosen = parser.parse_args(options)
        if chosen.architecture != defaults.architecture:
            parser.set_defaults({k: v for k, v in _OWN.items() if k in defaults.options()})
            chosen = parser.parse_args(options)
    except jsonargparse.ArgumentError as error:
        raise UserError(one_sentence(str(error), [*defaults.parameters(), "config"])) from error
    for group, default in defaults.options().items():
        if isinstance(default, dict) and not isinstance(chosen[group], Mapping | Namespace):
            raise UserError(f"--{group} must be a mapping, not {chosen[group]!r}")
    values = parser.instantiate(chosen).as_dict()
    kind = type(defaults)
    own, recipe = ({f.name: values.get(f.name) for f in fields(c)} for c in (kind, Recipe))
    return name, kind(**own | {"recipe": Recipe(**recipe)})


def _of_recipe(pipeline: str, recipe: str) -> Config:
    """Returns the config of a recipe, which says its name; lists them and exits for "?".

    Raises:
        UserError: There is none of this name.
    """
    if recipe == "?":
        for name in catalog.get(pipeline).recipes:
            module = catalog.recipe(pipeline, name)
            print(f"{name:<22}{(module.__doc__ or '').partition(chr(10))[0]}")
        sys.exit(0)
    config = catalog.recipe(pipeline, recipe).CONFIG
    return replace(config, recipe=replace(config.recipe, recipe=recipe))


def _option(argument: str) -> str:
    """Returns an option as the parser spells it: "--batch-size" is "--batch_size".

    Each "--tag" adds to those before it.
    """
    if not argument.startswith("--"):
        return argument
    option, equals, value = argument[2:].partition("=")
    option = option.replace("-", "_")
    return f"--{option}{'+' * (option == 'tag')}{equals}{value}"


@functools.cache  # It takes a tenth of a second, and a sweep parses a dozen command lines.
def parser_of(pipeline: str, prog: str = PROGRAM) -> jsonargparse.ArgumentParser:
    """Returns a parser whose options are the fields of the dataclasses, with their docstrings.

    Its defaults, and those in its help, are the pipeline's; parsing may replace them by others.
    """
    defaults = catalog.get(pipeline).defaults
    kind = type(defaults)
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=f"{prog} {pipeline}",
        usage=f"{prog} {pipeline} [--option value …]",
        description=catalog.get(pipeline).summary,
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", action="config", help="File of options, as a run's config.yaml."
    )
    parser.add_class_arguments(kind, skip={"recipe"})
    parser.add_class_arguments(Recipe)
    parser.set_defaults(defaults.options())
    limits, options = bounds(kind), defaults.parameters() | {"model": {}}
    for action in parser._actions:
        if action.dest in options:
            action.help = f"{action.help}{_details(action.default, limits.get(action.dest))}"
    option_groups.group(parser, pipeline, defaults)
    return parser


def _details(default: Any, between: Between | None) -> str:
    """Returns an option's bounds and its default, as " (1 to 100000; default: 40)"."""
    details = [f"{between.low:.12g} to {between.high:.12g}"] if between else []
    if default != "":
        details.append(f"default: {default if isinstance(default, str) else json.dumps(default)}")
    return f" ({'; '.join(details)})" if details else ""


class _HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """Shows the help of an option as it is, without a Python type."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help or ""


def one_sentence(message: str, options: Sequence[str]) -> str:
    """Turns the parser's message into one sentence that names the option and what it takes.

    Args:
        message: The parser's.
        options: The names of all options.
    """
    message = " ".join(message.split())
    message = re.sub(r'^Parser key "([^"]+)": ?', r"--\1: ", message)
    message = message.removeprefix("argument ")
    if broken := re.match(r"(?:Problems parsing|Unexpected) config: ?(.*)", message):
        return f"--config must be a YAML file of options: {broken[1] or 'it is empty'}"
    if unknown := re.match(r"(?:unrecognized arguments: |.*ption ')([^' ]+)", message):
        near = nearest(unknown[1].removeprefix("--"), options).replace(" is ", " is --")
        return f"there is no option {unknown[1]}; {near}--help lists the options"
    if wrong := re.fullmatch(r"(--\S+): Expected a (.*)\. Got value: ?(.*)", message):
        option, expected, value = wrong[1], wrong[2], wrong[3] or "''"
        if choices := re.fullmatch(r"typing\.Literal\[(.*)\]", expected):
            return f"{option} must be one of {choices[1]}, not {value}"
        kind = re.sub(r"<class '(\w+)'>", r"\1", expected)
        return f"{option} must be {_TYPES.get(kind, kind)}, not {value}"
    return message
