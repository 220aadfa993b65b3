"""Figures: what part of a run's processor time they take, for each pipeline.

A run is what `python -m pipelines PIPELINE` does, in a process of its own, with a store of its own.
Its figures are counted with all that is computed for them alone, as attention weights, and with
writing them as files. An epoch of training instead of the default's makes their part larger.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.comparison import Comparison, console, quiet, show_and_log
from benchmarks.processes import isolated
from pipelines.catalog import PIPELINES

_QUICK = ("text_classification", "forecasting")
# A run costs at least ten times what its figures do.
_GOAL = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument(
        "--only", nargs="+", choices=list(PIPELINES), metavar="NAME", help=", ".join(PIPELINES)
    )
    parser.add_argument(
        "--epochs", type=int, default=0, help="of each run (default: those of its pipeline)"
    )
    parser.add_argument("--quick", action="store_true", help=f"one epoch of {', '.join(_QUICK)}")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: The tracking store cannot be used.
    """
    quiet()
    names = options.only or (_QUICK if options.quick else list(PIPELINES))
    epochs = options.epochs or (1 if options.quick else 0)
    comparisons = []
    with tempfile.TemporaryDirectory(prefix="foundry-benchmark-") as scratch:
        # A student's teacher has to be registered before.
        for name in sorted(names, key=list(PIPELINES).index):
            with console.status(name), isolated(Path(scratch, "log")) as process:
                figures, total = process.submit(part, name, epochs, scratch).result()
            console.print(f"{name}: {figures:.1f} of {total:.0f} s, {figures / total:.1%}")
            comparisons.append(Comparison(name, "its run", "CPU s", [figures], [total], _GOAL))
    title = "A run's processor time over that of its figures"
    show_and_log("drawing", title, vars(options), comparisons)


def part(pipeline: str, epochs: int, folder: str) -> tuple[float, float]:
    """Runs a pipeline in a process that does nothing else.

    Args:
        pipeline: Its name.
        epochs: Of its training, 0 for the default's.
        folder: Where to run it; its store is created there.

    Returns:
        Processor seconds of the figures, and of the whole run with the processes that it started.
    """
    quiet()
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = ""
    from pipelines import progress, run
    from pipelines.cli import parse
    from pipelines.tracked_run import TrackedRun

    progress.console.quiet = True
    clock = _Clock()
    options = [f"--epochs={epochs}"] if epochs else []
    with (
        mock.patch.object(run, "_figures", clock.each(run._figures)),
        mock.patch.object(TrackedRun, "figure", clock.counted(TrackedRun.figure)),
        mock.patch.object(TrackedRun, "history", clock.counted(TrackedRun.history)),
    ):
        run.run(*parse([pipeline, *options]))
    return clock.seconds, sum(os.times()[:4])


@dataclass
class _Clock:
    """The processor time of calls, of which one may be made within another."""

    seconds: float = 0.0
    _running: bool = False

    def counted(self, function: Callable) -> Callable:
        """Returns a function whose calls count."""

        @wraps(function)
        def counting(*arguments: Any, **options: Any) -> Any:
            if self._running:
                return function(*arguments, **options)
            self._running, begun = True, time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self._running = False
                self.seconds += time.process_time() - begun

        return counting

    def each(self, function: Callable[..., Iterator]) -> Callable[..., Iterator]:
        """Returns a generator function whose steps count."""

        @wraps(function)
        def counting(*arguments: Any, **options: Any) -> Iterator:
            end = object()
            step = self.counted(next)
            values = function(*arguments, **options)
            while (value := step(values, end)) is not end:
                yield value

        return counting
