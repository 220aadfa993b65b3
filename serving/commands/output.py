"""Console output of commands."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from serving.commands.words import as_called

_FILE_WIDTH = 200


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves a closed pipe to the command line, which knows the exit code."""
        raise BrokenPipeError


console = _Console(highlight=False, markup=False, emoji=False)


def print_line(text: str) -> None:
    """Prints a line that is not wrapped, in the words of the program that was called."""
    console.print(as_called(text), soft_wrap=True)


def print_table(table: Table) -> None:
    """Prints a table; at full width where the output is not a terminal."""
    wide = _Console(highlight=False, markup=False, emoji=False, width=_FILE_WIDTH)
    (console if console.is_terminal else wide).print(table)
