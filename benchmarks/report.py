"""The report of a run: tables on the terminal, and everything in MLflow."""

from __future__ import annotations

import math
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import psutil
from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.figures import PERCENTILES, figures
from benchmarks.goals import Goal
from benchmarks.samples import Row, bars
from pipelines import environment, store, store_errors

TABLE, COMMAND = "table.md", "command"
"""The artifact with the table of a run, and the tag with its command."""

# Smaller numbers are written with their exponent.
_SMALL = 1e-3
_PACKAGES = ("grpcio", "mlflow", "numpy", "tensorflow", "uvicorn")


def results_table(rows: Sequence[Row]) -> Table:
    """Returns the measurements; times in milliseconds, the last four of the mean request."""
    numbers = ("requests/s", "p50", "p90", "p99", "errors")
    split = ("queue", "codec", "runtime", "transport")
    table = Table("", "load", *numbers, "batches", *split, box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    experiment = ""
    for row in rows:
        if row.experiment != experiment:
            experiment = row.experiment
            table.add_row(f"[bold]{experiment}[/bold]")
        times = [_short(row.milliseconds(percentile)) for percentile in PERCENTILES]
        parts = [_short(getattr(row.split, name)) if row.split else "" for name in split]
        errors = str(row.errors) if row.errors else ""
        rate = _short(row.rate)
        table.add_row(row.system, row.asked, rate, *times, errors, _batches(row), *parts)
    return table


def goals_table(goals: Sequence[Goal]) -> Table:
    """Returns the goals with their measurements."""
    table = Table("", "goal", "measured", "rounds from … to", "", box=None, pad_edge=False)
    for goal in goals:
        unit = "x" if goal.unit == "x" else f" {goal.unit}"
        table.add_row(
            goal.text,
            f">= {goal.required:g}{unit}",
            f"{_short(goal.measured)}{unit}",
            f"{_short(goal.lowest)} … {_short(goal.highest)}",
            "reached" if goal.reached else "not reached",
        )
    return table


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Returns the measurements, a line for each row of the table; times in milliseconds."""
    return pd.DataFrame([_record(row) for row in rows])


def log(
    rows: Sequence[Row], goals: Sequence[Goal], options: Mapping[str, Any], folder: Path
) -> tuple[str, str]:
    """Logs everything as one MLflow run of the experiment `benchmarks`.

    Args:
        rows: The measurements.
        goals: The goals.
        options: Choices of the run.
        folder: Where to write tables before they are logged.

    Returns:
        The run's URI and the store's.

    Raises:
        UserError: The tracking store cannot be used.
    """
    with _run("serving", options) as where:
        _log(rows, goals, folder)
    return where


def log_tables(
    name: str,
    options: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Figure],
) -> tuple[str, str]:
    """Logs a table and figures as one MLflow run of the experiment `benchmarks`.

    Args:
        name: Name of the run.
        options: Choices of the run.
        records: Rows of the table `results.csv`.
        figures: Figures by name.

    Returns:
        The run's URI and the store's.

    Raises:
        UserError: The tracking store cannot be used.
    """
    with _run(name, options) as where:
        mlflow.log_text(pd.DataFrame(records).to_csv(index=False), "results.csv")
        mlflow.log_text(markdown(records), TABLE)
        _log_figures(figures)
    return where


def markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """Returns records as a table in Markdown, without the columns that are empty in all."""
    keys = dict.fromkeys(key for record in records for key in record)
    shown = [key for key in keys if any(_cell(record.get(key)) for record in records)]
    lines = [[key.replace("_", " ") for key in shown], ["---"] * len(shown)]
    lines += [[_cell(record.get(key)) for key in shown] for record in records]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: object) -> str:
    """Formats a value; several numbers as their least and greatest."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:.2e}" if 0 < abs(number) < _SMALL else _short(number)
    if isinstance(value, str):
        return value.replace("|", "\\|")
    numbers = np.asarray(value, float)
    return f"{_short(numbers.min())} … {_short(numbers.max())}" if numbers.size else ""


@contextmanager
def _run(name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Runs its body inside an MLflow run that has the options, the machine and the code's version.

    Yields:
        The run's URI and the store's.

    Raises:
        UserError: The tracking store cannot be used.
    """
    uri = store.tracking_uri()
    with store_errors.explained(uri):
        store.open_store()
        experiment, tags = store.experiment("benchmarks", uri), store.process_tags()
        with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags) as run:
            mlflow.log_params({**options, **machine()})
            mlflow.set_tag(COMMAND, f"python -m benchmarks {shlex.join(sys.argv[1:])}")
            yield f"runs:/{run.info.run_id}", uri
            commit, changes = environment.code_version()
            mlflow.set_tags({"code.commit": commit, "code.changed": bool(changes)})


def _log_figures(drawn: Mapping[str, Figure]) -> None:
    for name, figure in drawn.items():
        mlflow.log_figure(figure, f"figures/{name}.png", save_kwargs={"dpi": 120})


def _log(rows: Sequence[Row], goals: Sequence[Goal], folder: Path) -> None:
    mlflow.log_metrics(metrics(rows, goals))
    results = frame(rows)
    results.to_csv(folder / "results.csv", index=False)
    results.to_json(folder / "results.json", orient="records", indent=2)
    reached = pd.DataFrame([{**vars(goal), "reached": goal.reached} for goal in goals])
    reached.to_csv(folder / "goals.csv", index=False)
    for name in ("results.csv", "results.json", "goals.csv"):
        mlflow.log_artifact(str(folder / name))
    tables = [_goal_records(goals), [_closed_record(row) for row in rows if not row.load.rate]]
    mlflow.log_text("\n".join(markdown(records) for records in tables if records), TABLE)
    _log_figures(dict(figures(rows)))


def machine() -> dict[str, Any]:
    """Returns the properties of the machine and the versions of packages."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in _PACKAGES},
    }


def metrics(rows: Sequence[Row], goals: Sequence[Goal]) -> dict[str, float]:
    """Returns the metrics of the run by name."""
    values = {f"goal/{goal.name}": goal.measured for goal in goals}
    for row in rows:
        # The rates of open loops differ between runs, so they are in the tables only.
        if row.load.rate:
            continue
        place = f"{_slug(row.experiment)}/{_slug(row.system)}/{row.load.callers}"
        values |= {f"{place}/requests_per_second": row.rate, f"{place}/errors": row.errors}
        values |= {f"{place}/p{p}_ms": row.milliseconds(p) for p in PERCENTILES}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _record(row: Row) -> dict[str, Any]:
    batches = row.served.batches
    sizes = batches.sizes() if batches else {}
    split = vars(row.split) if row.split else {}
    return {
        "experiment": row.experiment,
        "system": row.system,
        "loop": "open" if row.load.rate else "closed",
        "clients": row.load.callers,
        "offered_per_second": row.load.rate or None,
        "requests_per_second": row.rate,
        "best_requests_per_second": row.best,
        **{f"p{p}_ms": row.milliseconds(p) for p in PERCENTILES},
        "answers": sum(len(sample.latencies) for sample in row.rounds),
        "errors": row.errors,
        "error": row.error,
        "mean_batch": batches.mean if batches and batches.count else None,
        "batches": " ".join(f"{size}:{count:g}" for size, count in sizes.items()),
        **{f"{name}_ms": split.get(name) for name in ("queue", "codec", "runtime", "transport")},
    }


def _goal_records(goals: Sequence[Goal]) -> list[dict[str, Any]]:
    return [
        {
            "": goal.text,
            "unit": goal.unit,
            "measured": goal.measured,
            "lowest": goal.lowest,
            "highest": goal.highest,
            "goal": goal.required,
        }
        for goal in goals
    ]


def _closed_record(row: Row) -> dict[str, Any]:
    return {
        "": row.experiment,
        "system": row.system,
        "clients": row.load.callers,
        "requests/s": row.rate,
        **{f"p{percentile} ms": row.milliseconds(percentile) for percentile in PERCENTILES},
        "errors": row.errors or None,
    }


def _batches(row: Row) -> str:
    batches = row.served.batches
    if not batches or not batches.count:
        return ""
    return f"{bars(list(batches.sizes().values()))} mean {batches.mean:.1f}"


def _short(value: float) -> str:
    """Formats three significant digits, or all before the decimal point."""
    if not math.isfinite(value):
        return "–"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 2
    return f"{value:,.{min(max(digits, 0), 3)}f}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _processor() -> str:
    """Returns the processor's name, where the system provides it."""
    with open("/proc/cpuinfo") if Path("/proc/cpuinfo").exists() else open(os.devnull) as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
