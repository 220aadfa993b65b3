"""A comparison on the console: tables that fit its width, however many runs there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines import metric_names
from pipelines.comparison import words
from pipelines.comparison.comparison import ComparedRun, Comparison

_ID = 8
_NAME_WIDTH, _CELL_WIDTH = 24, 15
_GAP = 2


def show(comparison: Comparison, console: Console) -> None:
    """Prints runs, notes, scores, differences and parameters."""
    console.print(_runs(comparison))
    for note in comparison.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    if comparison.scores:
        for runs in _blocks(comparison.runs, console.width):
            console.print()
            console.print(_table("score", runs, comparison.scores, _score, metric_names.words))
    if comparison.differences:
        console.print()
        console.print(_differences(comparison))
    if not comparison.parameters:
        console.print("\nall parameters are the same")
        return
    for runs in _blocks(comparison.runs, console.width):
        console.print()
        console.print(_table("parameter", runs, comparison.parameters, words.parameter, str))


def _runs(comparison: Comparison) -> Table:
    table = _empty()
    for header in ("", "run", "id", "status", "started", "time"):
        narrow = header in ("run",)
        table.add_column(header, overflow="fold", no_wrap=not narrow)
    for run in comparison.runs:
        table.add_row(
            *map(Text, (run.label, run.name, run.id[:_ID], run.status.lower())),
            *map(Text, (words.started(run), words.duration(run))),
        )
    return table


def _table(
    title: str,
    runs: Sequence[ComparedRun],
    names: object,
    cell: Callable[[ComparedRun, str], str],
    shown: Callable[[str], str],
) -> Table:
    """Returns a table with a row for each name and a column for each of some runs."""
    table = _empty()
    table.add_column(title, overflow="fold", max_width=_NAME_WIDTH)
    for run in runs:
        table.add_column(f"run {run.label}", overflow="fold", max_width=_CELL_WIDTH)
    for name in names:  # type: ignore[attr-defined]
        table.add_row(Text(shown(name)), *(Text(cell(run, name)) for run in runs))
    return table


def _differences(comparison: Comparison) -> Table:
    table = _empty()
    table.add_column("difference on test", overflow="fold")
    for header in ("score", "value", "95 % interval", ""):
        table.add_column(header, overflow="fold")
    for each in comparison.differences:
        table.add_row(
            Text(words.sentence(each)),
            Text(metric_names.words(each.name)),
            Text(words.signed(each.value)),
            *map(Text, (words.interval(each.interval, sign=True), each.verdict)),
        )
    return table


def _score(run: ComparedRun, name: str) -> str:
    bounds = words.interval(run.intervals.get(name))
    return words.score(run, name) + (f"\n{bounds}" if bounds else "")


def _blocks(runs: Sequence[ComparedRun], width: int) -> Iterator[Sequence[ComparedRun]]:
    """Yields the runs in groups whose columns fit."""
    size = max(1, (width - _NAME_WIDTH - _GAP) // (_CELL_WIDTH + _GAP))
    for start in range(0, len(runs), size):
        yield runs[start : start + size]


def _empty() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
