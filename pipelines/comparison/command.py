"""The command `python -m pipelines compare RUN RUN …`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow

from pipelines import store, store_errors
from pipelines.cli import PROGRAM
from pipelines.comparison import console_tables, finding, report
from pipelines.comparison.comparison import Comparison, compare, read
from pipelines.comparison.options import EXPERIMENT, parser_of
from pipelines.errors import UserError
from pipelines.progress import console

_REPORT = "comparison.html"
_MAX_NAME = 200


def main(arguments: Sequence[str], prog: str = PROGRAM) -> None:
    """Compares runs, shows and writes what was found, and logs it as a run of its own.

    Raises:
        UserError: There are no such runs, or only one; or a file cannot be written.
    """
    options = parser_of(prog).parse_args(arguments)
    if options.last < 1:
        raise UserError(f"--last must be at least 1, not {options.last}")
    chosen = bool(options.experiment or options.tag)
    if options.runs and chosen:
        raise UserError("either runs are named, or --experiment and --tag choose them, not both")
    tags = _tags(options.tag)
    uri = store.tracking_uri()
    with store_errors.explained(uri):
        store.open_store()
        runs = (
            finding.select(options.experiment, tags, options.last)
            if chosen
            else finding.find(options.runs)
        )
        if len(runs) < 2:
            raise UserError(f"two runs at least can be compared, and {_counted(len(runs))}")
        with console.status("reading the runs"):
            found = compare([read(run, str(number)) for number, run in enumerate(runs, 1)])
    console_tables.show(found, console)
    page = report.html(found)
    if options.output:
        _write(page, Path(options.output))
    if options.log:
        with store_errors.explained(uri):
            run_id = _log(found, page, uri)
        where = f"runs:/{run_id}/{_REPORT}"
        console.print(f"\nreport     {where} in {store.shown(uri)}", soft_wrap=True)
    if options.output:
        console.print(f"written    {options.output}", soft_wrap=True)


def _tags(chosen: Sequence[str]) -> dict[str, str]:
    for tag in chosen:
        if not tag.partition("=")[1] or tag.startswith("="):
            raise UserError(f"--tag must be KEY=VALUE, not {tag!r}")
    return dict(tag.split("=", 1) for tag in chosen)


def _counted(count: int) -> str:
    return "there is only one" if count else "none was named"


def _write(page: str, output: Path) -> None:
    """Writes the report as a whole."""
    partial = output.with_name(f".{output.name}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"--output {output} cannot be written: {error.strerror}") from error


def _log(found: Comparison, page: str, uri: str) -> str:
    """Logs the report as a run of the experiment of comparisons, and returns the run's ID."""
    name = " / ".join(run.name for run in found.runs)
    with mlflow.start_run(
        experiment_id=store.experiment(EXPERIMENT, uri),
        run_name=name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…",
        tags={f"compared.{run.label}": run.id for run in found.runs},
    ) as active:
        mlflow.log_text(page, _REPORT)
        mlflow.log_text(json.dumps(_numbers(found), indent=2), "comparison.json")
    return active.info.run_id


def _numbers(found: Comparison) -> dict[str, Any]:
    """Returns what the report shows, for programs."""
    return {
        "runs": {run.label: run.id for run in found.runs},
        "parameters": found.parameters,
        "scores": found.scores,
        "differences": [
            {
                "run": each.run,
                "reference": each.reference,
                "score": each.name,
                "difference": each.value,
                "interval": each.interval,
                "verdict": each.verdict,
            }
            for each in found.differences
        ],
        "notes": found.notes,
    }
