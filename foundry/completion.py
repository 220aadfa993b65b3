"""Completion of commands, options and files in a shell, by argcomplete.

    eval "$(foundry completion bash)"      # or zsh; fish: foundry completion fish | source

The shell calls `foundry` at each tab with what was typed so far in COMP_LINE, and argcomplete
answers from the parser of the command, https://kislyuk.github.io/argcomplete/.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import Literal, get_args, get_origin

import argcomplete
import jsonargparse
from argcomplete.completers import ChoicesCompleter, FilesCompleter
from argcomplete.lexers import split_line

import architectures

SHELLS = ("bash", "zsh", "fish", "powershell")


def main(arguments: Sequence[str], prog: str) -> int:
    """Prints the code that a shell runs to complete `foundry`."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Prints what completes commands, options and files in a shell."
    )
    parser.add_argument("shell", choices=SHELLS)
    options = parser.parse_args(arguments)
    print(argcomplete.shellcode(["foundry"], shell=options.shell))
    return 0


def complete() -> None:
    """Answers the shell that has set `_ARGCOMPLETE`, and ends the process."""
    line = os.environ["COMP_LINE"]
    _, _, _, words, _ = split_line(line, int(os.environ.get("COMP_POINT", len(line))))
    parser, program = _parser(words[1:])
    # The number of words that are the program's name.
    os.environ["_ARGCOMPLETE"] = str(program)
    if isinstance(parser, jsonargparse.ArgumentParser):
        _complete_values(parser)
        parser.parse_args([])  # It calls argcomplete itself.
    argcomplete.autocomplete(parser)


def _parser(words: Sequence[str]) -> tuple[argparse.ArgumentParser, int]:
    """Returns the parser that goes on after the words typed so far, and how many it skips.

    Args:
        words: The complete words after `foundry`, without the one that is being typed.
    """
    from foundry.__main__ import commands

    known = commands()
    if not words or words[0] not in known:
        return _choice("command", known), 1
    command, skipped = known[words[0]], 2
    if command.module == "serving.__main__":
        from serving.__main__ import parsers

        return parsers()[1][command.words[0]], skipped
    if command.module == "architectures.__main__":
        from architectures.__main__ import parser_of

        return parser_of(), skipped
    if command.words == ("compare",):
        from pipelines.comparison.options import parser_of as comparison

        return comparison(), skipped
    if command.words == ("export",):
        from pipelines.variants.options import parser_of as export

        return export(), skipped
    if words[0] in ("train", "sweep"):
        from pipelines import catalog, cli

        if len(words) == 1:
            return _choice("pipeline", catalog.pipelines()), skipped
        parser = cli.parser_of(words[1])
        if words[0] == "sweep":
            from pipelines.sweep.options import SweepOptions

            parser.add_class_arguments(SweepOptions)
        return parser, skipped + 1
    if words[0] == "completion":
        return _choice("shell", SHELLS), skipped
    return argparse.ArgumentParser(), skipped


def _complete_values(parser: jsonargparse.ArgumentParser) -> None:
    """Completes an option's value by its type, where jsonargparse only states the type."""
    for action in parser._actions:
        hint = getattr(action, "_typehint", None)
        if action.dest == "architecture":
            choices: Iterable[str] = architectures.names()
        elif get_origin(hint) is Literal:
            choices = map(str, get_args(hint))
        else:
            choices = ("true", "false") if hint is bool else ()
        completer = ChoicesCompleter(dict.fromkeys(choices, "")) if choices else FilesCompleter()
        vars(action)["completer"] = completer


def _choice(what: str, names: Iterable[str]) -> argparse.ArgumentParser:
    """Returns a parser of one word out of several."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(what, choices=[*names])
    return parser
