"""The command `python -m pipelines compare RUN RUN …`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import mlflow
from sqlalchemy.exc import SQLAlchemyError

from pipelines import store
from pipelines.comparison import console_tables, finding, report
from pipelines.comparison.comparison import Comparison, compare, read
from pipelines.errors import UserError
from pipelines.progress import console

EXPERIMENT = "comparison"
_REPORT = "comparison.html"
_LAST = 10
_MAX_NAME = 200


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; python -m pipelines compare --help lists the options")


def main(arguments: Sequence[str]) -> None:
    """Compares runs, shows and writes what was found, and logs it as a run of its own.

    Raises:
        UserError: There are no such runs, or only one; or a file cannot be written.
    """
    options = _parser().parse_args(arguments)
    if options.last < 1:
        raise UserError(f"--last must be at least 1, not {options.last}")
    chosen = bool(options.experiment or options.tag)
    if options.runs and chosen:
        raise UserError("either runs are named, or --experiment and --tag choose them, not both")
    tags = _tags(options.tag)
    try:
        uri = store.open_store()
        runs = (
            finding.select(options.experiment, tags, options.last)
            if chosen
            else finding.find(options.runs)
        )
        if len(runs) < 2:
            raise UserError(f"two runs at least can be compared, and {_counted(len(runs))}")
        with console.status("reading the runs"):
            found = compare([read(run, str(number)) for number, run in enumerate(runs, 1)])
    except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the tracking store cannot be read: {reason}") from error
    console_tables.show(found, console)
    page = report.html(found)
    if options.output:
        _write(page, Path(options.output))
    if options.log:
        where = f"runs:/{_log(found, page, uri)}/{_REPORT}"
        console.print(f"\nreport     {where} in {uri}", soft_wrap=True)
    if options.output:
        console.print(f"written    {options.output}", soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m pipelines compare",
        usage="python -m pipelines compare RUN RUN … [--option value …]",
        description="Compares runs with the first of them.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="an ID or its beginning, a run's name, runs:/ID, models:/NAME@ALIAS or "
        "models:/NAME/VERSION",
    )
    parser.add_argument("--experiment", default="", help="compare the runs of an experiment")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="compare the runs with this tag; may be repeated",
    )
    parser.add_argument(
        "--last",
        type=int,
        default=_LAST,
        metavar="N",
        help=f"of an experiment or with a tag, the newest N runs (default: {_LAST})",
    )
    parser.add_argument("--output", default="", metavar="FILE", help="write the HTML report here")
    parser.add_argument(
        "--no_log",
        dest="log",
        action="store_false",
        help=f"log no run with the report in the experiment {EXPERIMENT}",
    )
    return parser


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
