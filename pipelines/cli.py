"""The command line: from options, or the file of an earlier run, to a pipeline's config."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields

import jsonargparse

from pipelines import catalog
from pipelines.config import Config, Recipe, bounds
from pipelines.errors import UserError


def parse(arguments: Sequence[str]) -> tuple[str, Config]:
    """Returns a pipeline's name and its config; prints the help and exits if asked to.

    Args:
        arguments: The pipeline's name, then its options.

    Raises:
        UserError: An unknown pipeline or option, or a value of the wrong type.
    """
    name, *options = arguments
    defaults = catalog.get(name).defaults
    parser = _parser(name)
    try:
        chosen = parser.parse_args(options)
        if chosen.architecture != defaults.architecture:
            # The default hyperparameters are the default architecture's.
            parser.set_defaults({"model": {}})
            chosen = parser.parse_args(options)
    except jsonargparse.ArgumentError as error:
        raise UserError(_one_sentence(str(error))) from error
    values = parser.instantiate(chosen).as_dict()
    kind = type(defaults)
    own, recipe = ({f.name: values.get(f.name) for f in fields(c)} for c in (kind, Recipe))
    return name, kind(**own | {"recipe": Recipe(**recipe)})


def _parser(pipeline: str) -> jsonargparse.ArgumentParser:
    """Returns a parser whose options are the fields of the dataclasses, with their docstrings."""
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=f"python -m pipelines {pipeline}",
        description=catalog.get(pipeline).summary,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", action="config", help="File of options, as a run's config.yaml."
    )
    parser.add_class_arguments(type(catalog.get(pipeline).defaults), skip={"recipe"})
    parser.add_class_arguments(Recipe)
    parser.set_defaults(catalog.get(pipeline).defaults.options())
    limits = bounds(type(catalog.get(pipeline).defaults))
    for action in parser._actions:
        if between := limits.get(action.dest):
            action.help = f"{(action.help or '').removesuffix('.')}; {between}."
    return parser


def _one_sentence(message: str) -> str:
    """Turns the parser's message into `--option: what was expected, what was given`."""
    message = re.sub(r"^Parser key \"([^\"]+)\":", r"--\1:", message)
    message = re.sub(r"<class '(\w+)'>", r"\1", message)
    message = message.replace(" Expected a typing.Literal", " must be one of ")
    message = message.replace(" Expected a ", " must be of type ").replace(". Got value:", ", not")
    return " ".join(message.split())
