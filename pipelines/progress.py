"""Progress on the console: one bar per stage of a run."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)


class Stage:
    """The progress bar of one stage."""

    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._bar = progress.add_task(title, total=total, note="")

    def advance(self, note: str = "") -> None:
        """Moves the bar by one step and shows `note` beside it."""
        self._progress.update(self._bar, advance=1, note=note)

    def finish(self, note: str = "") -> None:
        """Fills the bar, even if the work ended before its last step."""
        task = self._progress.tasks[self._bar]
        self._progress.update(
            self._bar, completed=task.total, note=note or str(task.fields["note"])
        )


@contextmanager
def stage(title: str, total: int = 1) -> Iterator[Stage]:
    """Shows a progress bar with `total` steps while its body runs."""
    progress = Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
    with progress:
        bar = Stage(progress, title, total)
        yield bar
        bar.finish()


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str]]],
    notes: Sequence[str],
) -> None:
    """Shows a table whose rows have names, and below it a line for each note."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(Text(title))
    for column in columns:
        table.add_column(column, justify="right")
    for name, values in rows:
        table.add_row(Text(name), *map(Text, values))
    console.print(table)
    for note in notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back what native libraries print to standard error, unless the body fails.

    TensorFlow writes several lines while it is imported, before any log level applies.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(stderr, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
