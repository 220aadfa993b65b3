"""Progress on the console: one bar for each stage of a run, or lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

console = Console(highlight=False)

# Seconds of which the speed is averaged that the time left follows from.
_SPEED_PERIOD = 120.0
# Seconds after which a log gets another line, even if no step has ended.
_SILENCE = 60.0
# Columns of a console from which on there is room for a long bar.
_WIDE = 110


class Stage(Protocol):
    """The progress of one stage, a number of steps."""

    def begin(self, done: int) -> None:
        """Begins after steps that another process has done, or that are not to be counted again."""

    def advance(self, note: str = "") -> None:
        """Ends a step and shows `note` beside it."""

    def within(self, fraction: float, note: str = "") -> None:
        """Shows how much of the running step is done, from 0 to 1, and `note`, if there is one."""

    def finish(self, note: str = "") -> None:
        """Ends the stage, even before its last step."""


class _Bar:
    """Progress on a terminal: a bar with the time that it took and the time left."""

    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress, self._done = progress, 0
        self._bar = progress.add_task(title, total=total, steps=f"0/{total}", note="")

    def begin(self, done: int) -> None:
        self._done = done
        steps = f"{done}/{self._task.total}"
        self._progress.update(self._bar, completed=done, steps=steps)

    def advance(self, note: str = "") -> None:
        self._done += 1
        steps = f"{self._done}/{self._task.total}"
        self._progress.update(self._bar, completed=self._done, steps=steps, note=note)

    def within(self, fraction: float, note: str = "") -> None:
        shown = note or self._task.fields["note"]
        self._progress.update(self._bar, completed=self._done + fraction, note=shown)

    def finish(self, note: str = "") -> None:
        shown = note or self._task.fields["note"]
        steps = (
            self._task.fields["steps"] if self._done else f"{self._task.total}/{self._task.total}"
        )
        self._progress.update(self._bar, completed=self._task.total, steps=steps, note=shown)

    @property
    def _task(self) -> Task:
        return self._progress.tasks[self._bar]


class _Lines:
    """Progress without a terminal, as in a log: a line for each step, and each minute within it."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done, self._ended = title, total, 0, False
        self._begun = 0
        self._started = self._printed = time.monotonic()

    def begin(self, done: int) -> None:
        self._begun = self._done = done

    def advance(self, note: str = "") -> None:
        self._done += 1
        self._ended = self._done == self._total
        self._print(note)

    def within(self, fraction: float, note: str = "") -> None:
        if time.monotonic() - self._printed >= _SILENCE:
            self._print(note, fraction)

    def finish(self, note: str = "") -> None:
        if not self._ended:
            self._done, self._ended = self._done or self._total, True
            self._print(note)

    def _print(self, note: str, fraction: float = 0.0) -> None:
        self._printed = time.monotonic()
        seconds = self._printed - self._started
        own = self._done + fraction - self._begun
        rest = self._total - self._done - fraction
        left = "" if self._ended or own <= 0 else f", {_clock(seconds / own * rest)} left"
        done = f"{self._done + fraction:.2f}" if fraction else self._done
        line = (
            f"{'✓' if self._ended else ' '} {self._title:<10} {done}/{self._total} "
            f"{_clock(seconds)}{left}  {note}"
        )
        console.print(Text(line.rstrip()), soft_wrap=True)
        # A file or a pipe would show nothing for a long time.
        console.file.flush()


def _clock(seconds: float) -> str:
    """Returns a duration as "0:01:23"."""
    return str(timedelta(seconds=int(seconds + 1e-6)))


class _TimeLeft(TimeRemainingColumn):
    """The time left of a stage, where there is an estimate."""

    def render(self, task: Task) -> Text:
        if task.finished or task.time_remaining is None:
            return Text("")
        return super().render(task).append(" left")


@contextmanager
def stage(title: str, total: int = 1) -> Iterator[Stage]:
    """Shows the progress of `total` steps while its body runs."""
    if not console.is_terminal:
        lines = _Lines(title, total)
        yield lines
        lines.finish()
        return
    progress = Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<10}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=28 if console.width > _WIDE else 10),
        TextColumn("{task.fields[steps]}", table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        _TimeLeft(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        speed_estimate_period=_SPEED_PERIOD,
    )
    with progress:
        bar = _Bar(progress, title, total)
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
