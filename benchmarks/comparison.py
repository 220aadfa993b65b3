"""Costs of our code and of a reference, measured in turns, and the ratios of the two."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from serving.errors import UserError

_QUICK_ROUNDS = 3

Cost = TypeVar("Cost")

console = Console(highlight=False)


@dataclass(frozen=True)
class Comparison:
    """Costs of one thing in rounds, each of which has our code and the reference.

    Attributes:
        name: What was measured.
        reference: What it is compared with.
        unit: Of the costs.
        own: Costs of our code by round.
        other: Costs of the reference by round.
        goal: The least ratio that is aimed at; 0 for none.
    """

    name: str
    reference: str
    unit: str
    own: Sequence[float]
    other: Sequence[float]
    goal: float = 0.0

    @property
    def ratios(self) -> np.ndarray:
        """The reference's cost over ours by round: 1 is as good, 2 is twice as good."""
        return np.array(self.other) / np.array(self.own)

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return float(np.median(self.ratios))

    def record(self) -> dict[str, object]:
        """Returns a row of a table."""
        return {
            "name": self.name,
            "reference": self.reference,
            "unit": self.unit,
            "own": float(np.median(self.own)),
            "other": float(np.median(self.other)),
            "ratio": self.ratio,
            "lowest": float(self.ratios.min()),
            "highest": float(self.ratios.max()),
            "rounds": len(self.ratios),
            "goal": self.goal or None,
        }


def add_rounds(parser: argparse.ArgumentParser, quick: str) -> None:
    """Adds --rounds, and --quick, which has fewer of them; `quick` says what else it does."""
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--quick", action="store_true", help=quick)


def rounds_of(options: argparse.Namespace) -> int:
    """Returns the number of rounds.

    Raises:
        UserError: It is not positive.
    """
    if options.rounds < 1:
        raise UserError(f"--rounds must be at least 1, not {options.rounds}")
    return min(options.rounds, _QUICK_ROUNDS) if options.quick else options.rounds


def quiet() -> None:
    """Leaves the terminal to the measurements; called before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)


def in_turns(
    rounds: int, own: Callable[[], Cost], other: Callable[[], Cost]
) -> tuple[list[Cost], list[Cost]]:
    """Measures costs in turns, after one round that does not count.

    Which of the two begins changes from round to round, so that what one leaves behind, as a warm
    cache, serves both alike.

    Args:
        rounds: That count.
        own: Returns what our code costs.
        other: Returns what the reference costs.

    Returns:
        The costs of each, by round.
    """
    costs: dict[Callable[[], Cost], list[Cost]] = {own: [], other: []}
    for number in range(rounds + 1):
        for each in (own, other) if number % 2 else (other, own):
            costs[each].append(each())
    return costs[own][1:], costs[other][1:]


def cpu_seconds(function: Callable[[], object]) -> float:
    """Returns the processor time of all threads, which other processes change little."""
    started = time.process_time()
    function()
    return time.process_time() - started


def table(comparisons: Sequence[Comparison]) -> Table:
    """Returns a table of comparisons, which have one reference and one unit or several."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("", "compared with", "unit", "own", "other", "ratio", "from … to", "goal"):
        shown.add_column(header, justify="left" if header in ("", "compared with") else "right")
    for each in comparisons:
        own, other = np.median(each.own), np.median(each.other)
        goal = f"{each.goal:g} {'✓' if each.ratio >= each.goal else '✗'}" if each.goal else ""
        shown.add_row(
            *(each.name, each.reference, each.unit, f"{own:,.4g}", f"{other:,.4g}"),
            *(f"{each.ratio:.2f}", f"{each.ratios.min():.2f} … {each.ratios.max():.2f}", goal),
        )
    return shown


def figure(comparisons: Sequence[Comparison], title: str) -> Figure:
    """Plots the ratio of each round, its median and the goal, best read from the right."""
    names = [f"{each.name}\nto {each.reference}" for each in comparisons]
    drawing = Figure(figsize=(8, 1 + 0.45 * len(comparisons)), layout="constrained")
    axes = drawing.subplots()
    for place, each in enumerate(comparisons):
        axes.plot(each.ratios, [place] * len(each.ratios), "o", color="tab:blue", alpha=0.5)
        axes.plot([each.ratio], [place], "|", color="tab:blue", markersize=18)
        if each.goal:
            axes.plot([each.goal], [place], "|", color="tab:orange", markersize=18)
    axes.axvline(1.0, color="gray", linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ratio by round (bars: median, and goal in orange) →")
    axes.set_title(title)
    return drawing


def show_and_log(
    name: str, title: str, options: dict[str, object], comparisons: Sequence[Comparison]
) -> None:
    """Prints the table, and logs it with its figure as one run of the experiment `benchmarks`.

    Raises:
        UserError: The tracking store cannot be used.
    """
    from benchmarks import report

    console.print(table(comparisons))
    chosen = {option: str(value) for option, value in options.items()}
    records = [each.record() for each in comparisons]
    run, store = report.log_tables(name, chosen, records, {name: figure(comparisons, title)})
    console.print(f"run        {run} in {store}", soft_wrap=True)
