"""`python -m serving COMMAND`: the command line of serving."""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Sequence

import grpc

from serving.commands import compare, query, rollout, score, status, up, watch
from serving.commands.exit_codes import exit_code
from serving.errors import RolloutError, ServingError
from serving.rollout.servers import DEFAULT_ADDRESS

PROGRAM = "python -m serving"


def main(arguments: Sequence[str], prog: str = PROGRAM) -> int:
    """Runs the command line, whose program help and usage call `prog`; returns its exit code.

    0: done. 1: a server or a rollout failed, or a status found differences. 2: a user error.
    130: interrupted. 141: the reader of the output has ended.
    """
    try:
        try:
            return _run(arguments, prog)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # What is left in the buffer is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(arguments: Sequence[str], prog: str) -> int:
    options = parse(arguments, prog)

    def message(error: Exception) -> str:
        if not isinstance(error, ServingError):
            return str(error)
        if error.code is grpc.StatusCode.UNAVAILABLE and "connect" in error.message:
            address = getattr(options, "address", None) or DEFAULT_ADDRESS
            return f"no model server answers at {address}; start one: python -m serving up"
        return error.message

    return exit_code(
        lambda: options.command(options), (RolloutError, ServingError), message=message
    )


def parse(arguments: Sequence[str], prog: str = PROGRAM) -> argparse.Namespace:
    """Returns the chosen command with its options; shows help or usage and exits if asked to.

    Help and usage call the program `prog`. Options may stand before, between and after other
    arguments, and have hyphens or underscores in their names.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    plain = [_underscored(argument) for argument in arguments[:end]] + [*arguments[end:]]
    parser, commands = parsers(prog)
    if not plain:
        parser.print_help(sys.stderr)
        sys.exit(2)
    if not plain[0].startswith("-") and plain[0] not in commands:
        near = difflib.get_close_matches(plain[0], commands, n=1)
        nearest = f"the nearest is {near[0]}; " if near else ""
        parser.error(f"there is no command {plain[0]}; {nearest}known are: {', '.join(commands)}")
    if plain[0] not in commands:
        return parser.parse_args(plain)
    command = commands[plain[0]]
    # What follows a -- is no option, which argparse forgets where it mixes the two.
    read = command.parse_args if "--" in plain else command.parse_intermixed_args
    return read(plain[1:])


def _underscored(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.removeprefix("--").partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def parsers(
    prog: str = PROGRAM,
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Returns the parser of a program called `prog`, and those of its commands by name."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Deploy registered models, serve and query them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    rollout.add_commands(commands)
    status.add_command(commands)
    compare.add_command(commands)
    query.add_command(commands)
    score.add_command(commands)
    watch.add_command(commands)
    up.add_commands(commands)
    return parser, commands.choices


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
