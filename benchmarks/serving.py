"""The benchmark of the model server: options, measurement, report."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import models, systems
from benchmarks.experiments import EXPERIMENTS, FRACTIONS, Bench
from benchmarks.processes import isolated
from benchmarks.samples import Row
from serving.errors import UserError

_MIN_WIDTH = 150
_QUICK_SECONDS, _SLOW = 0.5, ("resnet50",)

console = Console(highlight=False, emoji=False)
if console.width < _MIN_WIDTH:  # Long lines are better than wrapped cells.
    console = Console(highlight=False, emoji=False, width=_MIN_WIDTH)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(EXPERIMENTS),
        metavar="NAME",
        help=f"experiments to run, of {', '.join(EXPERIMENTS)} (default: all)",
    )
    parser.add_argument(
        "--repository",
        type=Path,
        metavar="FOLDER",
        help="model repository whose models are measured, too, as those of default runs",
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="length of one measurement (default: 2)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="repetitions of each measurement (default: 3)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=max(2, os.cpu_count() or 1),
        help="processes of the server with several (default: one per processor)",
    )
    parser.add_argument(
        "--skip-mlflow",
        action="store_true",
        help="skip the reference `mlflow models serve`, which is slow",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"measurements of {_QUICK_SECONDS:g} s, closed loops alone, without "
        f"{', '.join(_SLOW)}",
    )


def run(options: argparse.Namespace) -> None:
    """Measures, prints the tables and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range.
        ProcessFailedError: A server did not start.
    """
    _check(options)
    names = [name for name in EXPERIMENTS if name != "repository" or options.repository]
    options.only = options.only or names
    if options.quick:
        options.seconds = min(options.seconds, _QUICK_SECONDS)
        options.only = [name for name in options.only if name not in _SLOW]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    real = systems.real_server()
    with tempfile.TemporaryDirectory(prefix="foundry-benchmark-") as folder:
        rows = measure(options, real, Path(folder))
        _report(rows, options, real, Path(folder))


def measure(options: argparse.Namespace, real: Sequence[str], folder: Path) -> list[Row]:
    """Runs the chosen experiments.

    Args:
        options: The command line.
        real: Command of TensorFlow Serving's program; empty if there is none.
        folder: Folder for models and logs.
    """
    chosen = {name: EXPERIMENTS[name] for name in options.only}
    rows: list[Row] = []
    with (
        isolated(folder / "tensorflow.log") as tensorflow,
        isolated(folder / "loader.log") as loader,
    ):
        with console.status("saving the models"):
            needed = [model for _, model in chosen.values() if model]
            tensorflow.submit(models.save_all, needed, folder).result()
        with console.status("") as status:

            def report(row: Row) -> None:
                status.update(f"{row.experiment}: {row.system}")
                console.print(_line(row), soft_wrap=True)

            bench = Bench(
                folder,
                tensorflow,
                loader,
                options.seconds,
                options.rounds,
                options.workers,
                not options.skip_mlflow,
                real,
                report,
                fractions=() if options.quick else FRACTIONS,
                repository=options.repository,
            )
            for name, (experiment, _) in chosen.items():
                status.update(f"{name}: starting the servers")
                rows += experiment(bench)
    return rows


def _report(
    rows: Sequence[Row], options: argparse.Namespace, real: Sequence[str], folder: Path
) -> None:
    """Prints the tables before the run is logged, in case the store fails."""
    with console.status("plotting"):
        from benchmarks import report
        from benchmarks.goals import goals
    reached = goals(rows, options.workers)
    console.print()
    console.print(report.results_table(rows))
    for row in rows:
        if row.error:
            console.print(f"{row.system}, {row.asked}: {row.error}", soft_wrap=True)
    if reached:
        console.print()
        console.print(report.goals_table(reached))
    console.print()
    if not real:
        console.print("no tensorflow_model_server on the PATH or in $TENSORFLOW_MODEL_SERVER")
    chosen = {
        "seconds": options.seconds,
        "rounds": options.rounds,
        "workers": options.workers,
        "only": ",".join(options.only),
        "tensorflow_model_server": bool(real),
        "quick": options.quick,
    }
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    run, store = report.log(rows, reached, chosen, folder)
    console.print(f"run        {run} in {store}", soft_wrap=True)


def _line(row: Row) -> str:
    said = f"{row.rate:.1f} requests/s, p50 {row.milliseconds(50):.2f} ms"
    errors = f", {row.errors} errors: {row.error}" if row.errors else ""
    return f"{row.experiment}: {row.system}, {row.asked}: {said}{errors}"


def _check(options: argparse.Namespace) -> None:
    if "repository" in (options.only or ()) and not options.repository:
        raise UserError("the experiment repository needs --repository FOLDER")
    for name, min_answers in (("seconds", 0.1), ("rounds", 1), ("workers", 2)):
        value = getattr(options, name)
        if not value >= min_answers:
            raise UserError(f"--{name} must be at least {min_answers}, not {value}")
