"""What a run prints at its end: scores, where the run and its model are, and the next command."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from rich.table import Table

from pipelines import metric_names
from pipelines.config import Config
from pipelines.progress import console
from pipelines.words import as_called

if TYPE_CHECKING:
    from pipelines.model_registry import Version
    from pipelines.run import Result
    from pipelines.tracked_run import TrackedRun
    from pipelines.training.range_test import RangeTest

# Characters that a line of a list needs; a narrower terminal wraps it.
_WIDTH = 80
# From here on, names of scores and architectures fit side by side.
_WIDE = 100


def show(config: Config, result: Result) -> None:
    """Prints the scores, where the run and its model are, and the next command to type."""
    run, baseline, version = result.run, result.baseline, result.version
    table = _table(config.architecture, spread=bool(result.deviations))
    compared = result.metric
    rows = [("validation", compared, baseline.validation[compared])]
    rows += [("test", metric, score) for metric, score in baseline.test.items()]
    for split, metric, score in rows:
        own = result.metrics[metric_names.score(split, metric)]
        low, high = result.intervals.get(metric, (math.nan, math.nan))
        interval = "" if split == "validation" or low != low else f"{low:.4f} … {high:.4f}"
        row = [f"{own:.4f}", f"{score:.4f}", f"{own - score:+.4f}", interval]
        if result.deviations:
            row.insert(1, f"± {result.deviations[metric_names.score(split, metric)]:.4f}")
        table.add_row(f"{split} {metric}", *row)
    console.print(table)
    console.print(version.reason, soft_wrap=True)
    console.print(f"baseline   {baseline.name}{_margin(result)}", soft_wrap=True)
    alias = f" @{version.alias}" if version.alias else ""
    server = re.sub("//[^/@]*@", "//", run.store) if run.store.startswith("http") else ""
    for what, where in (
        ("run", f"{run.uri} in {run.store}"),
        *([("page", f"{server}{run.page}")] if server else []),
        ("registered", f"models:/{version.name}/{version.number}{alias}"),
        ("SavedModel", version.saved_model),
    ):
        console.print(f"{what:<11}{where}", soft_wrap=True)
    for line in next_steps(version):
        console.print(as_called(line), soft_wrap=True)


def _margin(result: Result) -> str:
    """Returns the interval of the margin over the baseline on test, "" if there is none."""
    if result.metric not in result.margins:
        return ""
    low, high = result.margins[result.metric]
    return f"; test {result.metric} less its own: {low:+.4f} … {high:+.4f} (95 % interval)"


def show_range_test(run: TrackedRun, test: RangeTest) -> None:
    """Prints the suggested learning rate as the option to type, and where the plot is."""
    lowest = test.smoothed.argmin()
    console.print(
        f"the loss goes from {test.smoothed[0]:.4g} to its lowest, {test.smoothed[lowest]:.4g}, at "
        f"a learning rate of {test.rates[lowest]:.1e}",
        soft_wrap=True,
    )
    console.print(f"suggested  {test.option}", soft_wrap=True)
    console.print(f"run        {run.uri} in {run.store}, figures/range_test.png", soft_wrap=True)


def next_steps(version: Version) -> list[str]:
    """Returns what to do with a registered version, by the gate's decision about it."""
    deploy = f"python -m serving deploy {version.name}"
    number = f"--version {version.number}"
    if not version.alias:
        return [
            "next       train again with other options, as the baseline is better; this serves it "
            f"all the same: {deploy} {number} --force"
        ]
    if version.alias == "challenger":
        return [f"next       {deploy} {number}    # a canary beside the champion"]
    if version.compared is None:
        return [f"next       {deploy}"]
    return [
        f"next       {deploy}    # a canary beside the stable one",
        f"then       python -m serving promote {version.name}",
    ]


def _table(architecture: str, *, spread: bool = False) -> Table:
    """Returns the table of scores without rows, which on a narrow console has no lines.

    Names are folded and not cut, as several may begin alike. With a spread, there is a column of
    deviations over seeds.
    """
    narrow = console.width < (_WIDE if spread else _WIDTH)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0)) if narrow else Table()
    table.add_column("", overflow="fold", min_width=10)
    room = None if console.width >= _WIDE else len("-12345.1234")
    table.add_column(architecture, overflow="fold", max_width=room)
    if spread:
        table.add_column("seeds", no_wrap=True)
    table.add_column("baseline", no_wrap=True)
    table.add_column("margin", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    return table
