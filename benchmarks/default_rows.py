"""The results of default runs: who wins, a table for the console, and a page in Markdown."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from rich.table import Table

from pipelines.catalog import PIPELINES


@dataclass(frozen=True)
class Row:
    """The default run of one pipeline over seeds.

    Attributes:
        pipeline: Its name.
        commits: Those of the code of its runs, each once, in the order of seeds.
        data: Data set and examples of its splits.
        architecture: The network.
        parameters: Their number.
        seconds: Processor time of the whole command, by seed.
        metric: The score that is compared.
        greater_is_better: Whether it is better when greater.
        baseline: Names of the baselines that were the strongest on validation.
        baselines: The first seed's scores of all baselines on validation and test, by name.
        validation: The network's score less that of the baseline on validation, by seed.
        test: The network's score on test, by seed.
        baseline_test: The baseline's score on test, by seed.
        margins: 95 % interval of the paired difference on test, by seed.
    """

    pipeline: str
    commits: tuple[str, ...]
    data: str
    architecture: str
    parameters: int
    seconds: tuple[float, ...]
    metric: str
    greater_is_better: bool
    baseline: str
    baselines: Mapping[str, tuple[float, float]]
    validation: tuple[float, ...]
    test: tuple[float, ...]
    baseline_test: tuple[float, ...]
    margins: tuple[tuple[float, float], ...]

    @property
    def wins(self) -> int:
        """Number of seeds that win on validation, and on test beyond the interval."""
        sign = 1 if self.greater_is_better else -1
        return sum(
            sign * difference > 0 and min(sign * low, sign * high) > 0
            for difference, (low, high) in zip(self.validation, self.margins, strict=True)
        )

    @property
    def score(self) -> str:
        """The metric's name, with an arrow to where it is better."""
        return f"{self.metric.replace('_', ' ')} {'↑' if self.greater_is_better else '↓'}"

    def record(self) -> dict[str, Any]:
        """Returns a line of `results.csv`."""
        single = (str, int, bool)
        return {
            **{name: value for name, value in vars(self).items() if isinstance(value, single)},
            "commits": " ".join(self.commits),
            "cpu_seconds": statistics.fmean(self.seconds),
            "test": statistics.fmean(self.test),
            "baseline_test": statistics.fmean(self.baseline_test),
            "lowest": min(low for low, _ in self.margins),
            "highest": max(high for _, high in self.margins),
            "wins": self.wins,
            "seeds": len(self.test),
        }


def table(rows: Sequence[Row]) -> Table:
    """Returns the results for the console."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("pipeline", "score", "network", "baseline", "margin", "95 % interval", "wins"):
        shown.add_column(header, overflow="fold")
    for each in rows:
        shown.add_row(each.pipeline, each.score, *_scores(each))
    return shown


def page(
    rows: Sequence[Row],
    command: str,
    machine: Mapping[str, Any],
    note: str = "",
    previous: str = "",
) -> str:
    """Returns the results as a page in Markdown.

    Args:
        rows: The results.
        command: The command that writes the page.
        machine: What `report.machine` returns.
        note: A sentence on how it was measured.
        previous: An earlier page, which gives the lines of pipelines without results.
    """
    results = {
        **_lines_by_pipeline(previous, r"`python -m pipelines (\w+)`"),
        **{each.pipeline: [_result(each)] for each in rows},
    }
    baselines = {
        **_lines_by_pipeline(previous, r"`(\w+)`"),
        **{each.pipeline: _baselines(each) for each in rows},
    }
    pipelines = [name for name in PIPELINES if name in results]
    return "\n".join(
        [
            "# Results of the default runs",
            "",
            f"Written by `{command}` on {date.today()}: each command ran with seeds from 0 on, in "
            f"a process of its own, on a machine of {machine['cpus']} cores "
            f"({machine['processor']}) with TensorFlow {machine['tensorflow']}."
            f"{f' {note}' if note else ''} Data sets, networks and recipes were chosen by "
            "validation alone. A line stays until its pipeline is run anew; the last column is "
            "the version of its code.",
            "",
            "Scores are on test, mean ± standard deviation over seeds, as is the processor time of "
            "the whole command (data, baselines, training, evaluation, export, validation; user "
            "and system time of all its processes). The baseline is the strongest on validation. "
            "The margin is the network's score less the baseline's, and its interval is that of "
            "the paired difference on 200 resamples of test; the lowest and the highest end over "
            "seeds are shown. A seed wins if the network beats the baseline on validation, which "
            "is what gives it an alias, and its interval lies beyond zero.",
            "",
            "| command | data (train / validation / test) | network | processor time | score | "
            "network's | strongest baseline's | margin | 95 % interval | seeds that win | commit |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *(line for name in pipelines for line in results[name]),
            "",
            "## Baselines",
            "",
            "All that each network was compared with, of seed 0.",
            "",
            "| pipeline | baseline | score | validation | test |",
            "|---|---|---|---|---|",
            *(line for name in pipelines for line in baselines[name]),
            "",
        ]
    )


def _lines_by_pipeline(page: str, name: str) -> dict[str, list[str]]:
    """Returns the lines of a table by pipeline, whose name the pattern of the first cell has."""
    lines: dict[str, list[str]] = {}
    for line in page.splitlines():
        if found := re.match(rf"\| {name} \|", line):
            lines.setdefault(found[1], []).append(line)
    return lines


def _result(row: Row) -> str:
    own, baseline, margin, interval, wins = _scores(row)
    return _line(
        f"`python -m pipelines {row.pipeline}`",
        row.data,
        f"`{row.architecture}`, {row.parameters:,} parameters",
        f"{spread(row.seconds, 0)} s",
        row.score,
        own,
        f"{row.baseline}: {baseline}",
        margin,
        interval,
        wins,
        ", ".join(commit[:7] for commit in row.commits),
    )


def _baselines(row: Row) -> list[str]:
    return [
        _line(f"`{row.pipeline}`", name, row.score, f"{validation:.4f}", f"{test:.4f}")
        for name, (validation, test) in row.baselines.items()
    ]


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Returns mean ± standard deviation; the value itself if there is one."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _scores(each: Row) -> tuple[str, str, str, str, str]:
    """Returns both scores, the margin, its interval, and how many seeds win."""
    margin = statistics.fmean(each.test) - statistics.fmean(each.baseline_test)
    low, high = min(low for low, _ in each.margins), max(high for _, high in each.margins)
    return (
        spread(each.test),
        spread(each.baseline_test),
        f"{margin:+.4f}",
        f"{low:+.4f} … {high:+.4f}",
        f"{each.wins} of {len(each.margins)}",
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
