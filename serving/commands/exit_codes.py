"""The exit codes of commands, and how their errors are printed."""

from __future__ import annotations

import sys
from collections.abc import Callable

from serving.commands.words import as_called
from serving.errors import UserError


def exit_code(
    command: Callable[[], int | None],
    failures: tuple[type[Exception], ...],
    *,
    message: Callable[[Exception], str] = str,
    interrupted: str = "interrupted",
) -> int:
    """Runs a command; prints its error, if it raises one, and returns the exit code.

    0, or what the command returns: done. 1: a failure. 2: a user error. 130: interrupted.

    Args:
        command: The command; None counts as 0.
        failures: Exceptions with exit code 1.
        message: Returns the text of such an exception.
        interrupted: What Ctrl-C prints.
    """
    try:
        return command() or 0
    except UserError as error:
        print(as_called(f"error: {error}"), file=sys.stderr)
        return 2
    except failures as error:
        print(as_called(f"error: {message(error)}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
