"""Pictures of forecasts, as matplotlib figures that MLflow shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_NETWORK, _TRUTH = "tab:blue", "black"
_OTHERS = ("tab:orange", "tab:green", "tab:purple", "tab:red")


@dataclass(frozen=True)
class Fan:
    """One forecast.

    Attributes:
        past_times: [history], dates or numbers.
        past: [history].
        times: [horizon].
        truth: [horizon].
        quantiles: [horizon, levels].
        other: [horizon], a forecast to compare with.
    """

    past_times: np.ndarray
    past: np.ndarray
    times: np.ndarray
    truth: np.ndarray
    quantiles: np.ndarray
    other: np.ndarray


def fans(charts: Sequence[Fan], levels: Sequence[float], *, other: str, title: str) -> Figure:
    """Draws forecasts as fans: a band for each pair of levels around the median.

    Args:
        charts: One panel each, three to a row.
        levels: Levels of the quantiles, ascending, the median in the middle.
        other: Name of the forecast to compare with.
        title: What they have in common.
    """
    rows = -(-len(charts) // 3)
    figure = Figure(figsize=(13, 3.2 * rows + 0.7), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(rows, 3, squeeze=False, sharey=True).flat
    for axes in panels:
        axes.set_axis_off()
    for axes, chart in zip(figure.axes, charts, strict=False):
        axes.set_axis_on()
        axes.plot(chart.past_times, chart.past, color="tab:gray", linewidth=1, label="history")
        _bands(axes, chart.times, chart.quantiles, levels)
        axes.plot(chart.times, chart.other, color=_OTHERS[0], linestyle="--", label=other)
        axes.plot(chart.times, chart.truth, color=_TRUTH, marker=".", label="truth")
        axes.grid(alpha=0.3)
        axes.tick_params("x", rotation=30, labelsize=8)
        axes.yaxis.set_tick_params(labelleft=True)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def forecast_line(
    times: np.ndarray,
    truth: np.ndarray,
    quantiles: np.ndarray,
    levels: Sequence[float],
    *,
    title: str,
) -> Figure:
    """Draws a stretch of the series with the forecast that was made for each of its steps.

    Args:
        times: [steps], dates or numbers.
        truth: [steps].
        quantiles: [steps, levels].
        levels: As in `fans`.
        title: Which forecast it is.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots()
    _bands(axes, times, quantiles, levels)
    axes.plot(times, truth, color=_TRUTH, linewidth=1, marker=".", markersize=3, label="truth")
    axes.set(title=title)
    axes.margins(x=0.01)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=4)
    return figure


def error_by_step(errors: Mapping[str, np.ndarray], *, y_label: str, title: str) -> Figure:
    """Draws the error at each step ahead.

    Args:
        errors: [horizon] by name, the network's first.
        y_label: What the error is.
        title: Of what.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for (name, values), style in zip(errors.items(), _styles(len(errors)), strict=True):
        axes.plot(range(1, len(values) + 1), values, marker=".", label=name, **style)
    axes.set(xlabel="steps ahead", ylabel=y_label, title=title)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def calibration(shares: Mapping[str, np.ndarray], levels: Sequence[float], *, title: str) -> Figure:
    """Draws which share of the truth lies below each quantile, against its level.

    Args:
        shares: [levels] by name, the network's first.
        levels: Levels of the quantiles.
        title: Of what.
    """
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="tab:gray", linestyle=":", label="perfectly calibrated")
    for (name, values), style in zip(shares.items(), _styles(len(shares)), strict=True):
        axes.plot(levels, values, marker="o", label=name, **style)
    axes.set(xlabel="level of the quantile", ylabel="share of the truth below it", title=title)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=levels, aspect="equal")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _bands(axes, times, quantiles, levels) -> None:
    """Draws the median and, the wider the paler, the bands around it."""
    pairs = len(levels) // 2
    for index in range(pairs):
        low, high = levels[index], levels[-1 - index]
        axes.fill_between(
            times,
            quantiles[:, index],
            quantiles[:, -1 - index],
            color=_NETWORK,
            alpha=0.15 + 0.2 * index / pairs,
            linewidth=0,
            label=f"{low:g} … {high:g}",
        )
    axes.plot(times, quantiles[:, pairs], color=_NETWORK, label="median")


def _styles(count: int) -> list[dict[str, Any]]:
    """Returns how lines look, the network's first."""
    others = [
        {"color": _OTHERS[index % len(_OTHERS)], "linestyle": "--"} for index in range(count - 1)
    ]
    return [{"color": _NETWORK}, *others]
