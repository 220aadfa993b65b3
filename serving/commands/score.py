"""The command `score`: score files of rows with a deployed model, without a server."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from serving.commands import signals
from serving.commands.options import (
    add_allowed_ops,
    add_repository,
    add_version,
    positive_integer,
    positive_number,
)
from serving.commands.output import print_line
from serving.errors import UserError

if TYPE_CHECKING:
    from serving.scoring.run import Plan

# Seconds between lines where the standard error is no terminal.
_SILENCE = 10.0
# Seconds of which the speed is averaged.
_SPEED_PERIOD = 60.0


def add_command(commands: Any) -> None:
    """Adds the command to a parser's `add_subparsers()`."""
    score = commands.add_parser(
        "score", help="score files of rows with a model, without a server; writes Parquet"
    )
    score.set_defaults(command=_score, parser=score)
    score.add_argument(
        "model",
        help="models:/NAME@ALIAS or models:/NAME/VERSION of the registry, the name of a model in "
        "the repository, or the folder of a SavedModel",
    )
    score.add_argument(
        "--input",
        nargs="+",
        required=True,
        metavar="FILE",
        help="Parquet, CSV, JSON lines, TFRecords or images: files, patterns, folders",
    )
    score.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the parts; the same command goes on with what is there",
    )
    add_version(score)
    score.add_argument(
        "--signature", default="", help="signature (default: the one that takes such input)"
    )
    score.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="INPUT=COLUMN",
        help="column for an input of the signature, where their names differ",
    )
    score.add_argument(
        "--keep",
        nargs="*",
        metavar="COLUMN",
        help="columns to write beside the outputs (default: numbers and short texts)",
    )
    score.add_argument(
        "--batch_size", type=positive_integer, default=64, help="rows of a batch (default: 64)"
    )
    score.add_argument(
        "--rows_per_part",
        type=positive_integer,
        default=10_000,
        help="rows of a part, which is lost if it is interrupted (default: 10000)",
    )
    score.add_argument(
        "--processes",
        type=positive_integer,
        help="processes that load the model each (default: one for two processors; on a cluster, "
        "one on each processor or GPU)",
    )
    score.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="processes of this machine, or actors of a Ray cluster: that of $RAY_ADDRESS "
        "(default: local)",
    )
    score.add_argument(
        "--gpus", type=positive_number, help="GPUs of each process on a Ray cluster, as 1 or 0.5"
    )
    add_allowed_ops(score)
    add_repository(score)


def _score(options: argparse.Namespace) -> int:
    from serving.rollout.model_repository import Repository
    from serving.scoring import model, run, sources
    from serving.scoring.manifest import REJECTED, Output

    chosen = run.Options(
        options.signature,
        _columns(options.column),
        options.keep,
        options.batch_size,
        options.rows_per_part,
    )
    if options.gpus and options.engine == "local":
        raise UserError("--gpus is for --engine ray; here CUDA_VISIBLE_DEVICES chooses GPUs")
    given = sources.find(options.input)
    for folder in filter(Path.is_dir, map(Path, options.input)):
        if options.output.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{options.output} lies within the input {folder}; give another folder")
    output = Output(options.output)
    with signals.as_ctrl_c(), output.locked():
        repository = Repository(options.repository)
        found = model.find(
            options.model,
            repository,
            output.model,
            version=options.version,
            label=options.label,
            allowed_ops=options.allow_ops,
        )
        print_line(f"model    {found}, {found.source}")
        plan = run.plan(found, given, output, chosen)
        mapped = plan.job.mapped
        taken = ", ".join(
            name if name == column.name else f"{name}={column.name}"
            for name, column in mapped.inputs.items()
        )
        print_line(f"takes    {taken} ({mapped.signature})")
        files = sum(len(source.images) or 1 for source in given)
        so_far = f", {plan.done:,} of them done already" if plan.done else ""
        of = "1 file" if files == 1 else f"{files:,} files"
        print_line(f"input    {plan.rows:,} rows of {of}{so_far}")
        began = time.monotonic()
        try:
            _run(plan, options)
        except KeyboardInterrupt:
            print_line("interrupted; the same command goes on")
            return 130
        scored, rejected = run.finish(plan)
        seconds = time.monotonic() - began
    speed = (plan.rows - plan.done) / seconds if plan.shards else 0
    print_line(
        f"output   {options.output}: {scored:,} rows scored, {rejected:,} rejected"
        + (f"; {speed:,.0f} rows/s" if speed else "")
    )
    if rejected:
        print_line(f"reasons  {options.output / REJECTED}")
    if rejected and not scored:
        print_line("error: no row could be scored")
        return 1
    return 0


def _run(plan: Plan, options: argparse.Namespace) -> None:
    from serving.scoring import cluster, local

    if not plan.shards:
        return
    with _progress(plan.rows, plan.done) as progress:
        work = (plan.job, plan.shards, options.processes)
        found = (
            cluster.run(*work, options.gpus or 0.0, progress.advance)
            if options.engine == "ray"
            else local.run(*work, progress.advance)
        )
        rejected = 0
        for done in found:
            rejected += done.rejected
            progress.rejected(rejected)


def _columns(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            raise UserError(f"--column takes INPUT=COLUMN, not {text}")
        found[name] = column
    return found


class _Shown(Protocol):
    def advance(self, rows: int) -> None:
        """Counts rows that are done."""

    def rejected(self, rows: int) -> None:
        """Shows how many rows were rejected."""


class _Bar:
    """Progress on a terminal."""

    def __init__(self, progress: Progress, total: int, done: int) -> None:
        self._progress = progress
        self._bar = progress.add_task("rows", total=total, completed=done, note="", speed="")

    def advance(self, rows: int) -> None:
        self._progress.advance(self._bar, rows)
        speed = self._progress.tasks[self._bar].speed
        self._progress.update(self._bar, speed=f"{speed:,.0f} rows/s" if speed else "")

    def rejected(self, rows: int) -> None:
        self._progress.update(self._bar, note=f"{rows:,} rejected" if rows else "")


class _Lines:
    """Progress without a terminal, as in a log: a line every ten seconds."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self._console, self._total, self._done, self._begun = console, total, done, done
        self._rejected = 0
        self._started = self._printed = time.monotonic()

    def advance(self, rows: int) -> None:
        self._done += rows
        now = time.monotonic()
        if now - self._printed < _SILENCE:
            return
        self._printed = now
        speed = (self._done - self._begun) / (now - self._started)
        if not speed:  # The model is being loaded.
            return
        left = f", {(self._total - self._done) / speed:,.0f} s left"
        note = f", {self._rejected:,} rejected" if self._rejected else ""
        self._console.print(
            f"rows {self._done:,}/{self._total:,}, {speed:,.0f} rows/s{left}{note}",
            soft_wrap=True,
        )

    def rejected(self, rows: int) -> None:
        self._rejected = rows


@contextmanager
def _progress(total: int, done: int) -> Iterator[_Shown]:
    """Shows how many rows are done, on the standard error."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines(console, total, done)
        return
    columns = (
        TextColumn("rows"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(
        *columns, console=console, transient=True, speed_estimate_period=_SPEED_PERIOD
    ) as progress:
        yield _Bar(progress, total, done)
