"""`python -m serving COMMAND`: the command line of serving."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import grpc

from serving.commands import compare, query, rollout, status, up
from serving.commands.exit_codes import exit_code
from serving.errors import RolloutError, ServingError
from serving.rollout.servers import DEFAULT_ADDRESS


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code.

    0: done. 1: a server or a rollout failed, or a status found differences. 2: a user error.
    130: interrupted.
    """
    options = _parser().parse_args(arguments)

    def message(error: Exception) -> str:
        if not isinstance(error, ServingError):
            return str(error)
        if error.code is grpc.StatusCode.UNAVAILABLE and "connect" in error.message:
            address = getattr(options, "address", None) or DEFAULT_ADDRESS
            return f"no model server answers at {address}; start one: python -m serving up"
        return error.message

    try:
        return exit_code(
            lambda: options.command(options), (RolloutError, ServingError), message=message
        )
    except BrokenPipeError:
        # The reader of the output has ended; what is left in the buffer is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving", description="Deploy registered models, serve and query them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    rollout.add_commands(commands)
    status.add_command(commands)
    compare.add_command(commands)
    query.add_command(commands)
    up.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
