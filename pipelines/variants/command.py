"""The command `python -m pipelines export RUN --variants NAME …`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlflow.entities import Run
from rich.table import Table

from pipelines import store, store_errors
from pipelines.cli import PROGRAM
from pipelines.comparison import finding
from pipelines.errors import UserError
from pipelines.progress import console
from pipelines.variants.options import parser_of
from pipelines.words import as_called

if TYPE_CHECKING:
    from pipelines.variants.export import Outcome


def parse(arguments: Sequence[str], prog: str = PROGRAM) -> tuple[Run, list[str], float]:
    """Returns the run, the names of its variants, and the fraction of the score they may lose.

    Raises:
        UserError: There is no such run, or an option is out of range.
    """
    options = parser_of(prog).parse_args(arguments)
    if not 0 <= options.max_loss <= 1:
        raise UserError(f"--max_loss must be between 0 and 1, not {options.max_loss:g}")
    with store_errors.explained(store.tracking_uri()):
        store.open_store(create=False)
        (run,) = finding.find([options.run])
    return run, list(dict.fromkeys(options.variants)), options.max_loss


def show(outcomes: Sequence[Outcome]) -> None:
    """Prints what each variant costs and gains, and how to deploy it or why it was refused."""
    console.print(_table(outcomes))
    for each in outcomes:
        if each.refusal:
            console.print(f"{each.name:<11}refused: {each.refusal}", soft_wrap=True)
        if not (version := each.version):
            continue
        alias = f" @{version.alias}" if version.alias else ""
        deploy = as_called(f"python -m serving deploy {version.name} --version {version.number}")
        console.print(
            f"{each.name:<11}models:/{version.name}/{version.number}{alias}    "
            f"{deploy if version.alias else deploy + ' --force'}",
            soft_wrap=True,
        )


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    score = f"test\n{outcomes[0].metric}"
    headers = (score, "less the\ntrained", "95 %\ninterval", "\nMB")
    for header in (*headers, "load\ns", "warmup\ns", "request\nms"):
        table.add_column(header, justify="right", no_wrap=True)
    for each in outcomes:
        cells = ["", "", ""]
        if not math.isnan(each.score):
            interval = "{:+.4f} … {:+.4f}".format(*each.interval) if each.interval else ""
            cells = [f"{each.score:.4f}", f"{each.difference:+.4f}", interval]
        if found := each.measured:
            cells += [f"{found.megabytes:.2f}", f"{found.load_seconds:.1f}"]
            cells += [f"{found.warmup_seconds:.1f}", f"{found.milliseconds:.2f}"]
        table.add_row(each.name, *cells)
    return table
