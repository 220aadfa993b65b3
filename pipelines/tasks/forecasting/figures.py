"""Figures of forecasts: fans, one-step forecasts, errors by step, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.baselines import Baseline
from pipelines.predictions import Predictions, in_common
from pipelines.tasks.forecasting.data import SeriesData
from pipelines.tasks.forecasting.metrics import LEVELS

_NETWORK, _TRUTH = "tab:blue", "black"
_MAX_LINES = 4
_OTHERS = ("tab:orange", "tab:green", "tab:purple", "tab:red")


def figures(
    data: SeriesData, test: Predictions, baselines: Sequence[Baseline], strongest: Baseline
) -> Iterator[tuple[str, Figure]]:
    """Yields fans, one-step forecasts, errors by step, and the calibration of quantiles.

    Args:
        data: The series; of many, a few are shown.
        test: The network's predictions on the test split.
        baselines: What it is compared with.
        strongest: The one of them that is shown in the fans.
    """
    names = [baseline.name for baseline in baselines]
    test, *others = in_common(test, *(baseline.predictions for baseline in baselines))
    compared = others[names.index(strongest.name)].predicted["forecast"]
    quantiles, windows = test.predicted["quantiles"], test.rows
    split = f"the test split of {data.name}"
    panels = [
        _fan(data, windows[place], quantiles[place], compared[place])
        for place in np.unique(np.linspace(0, len(windows) - 1, 6).astype(int))
    ]
    title = f"Forecasts from {len(panels)} origins in {split}"
    yield "fans", fans(panels, LEVELS, other=strongest.name, title=title)
    title = f"One step ahead through {split}"
    origins = data.origins("test")
    firsts = np.cumsum([0, *map(len, origins)])
    several = len(data.series) > 1
    lines = []
    for index in np.unique(np.linspace(0, len(data.series) - 1, _MAX_LINES).astype(int)):
        own = (windows >= firsts[index]) & (windows < firsts[index + 1])
        series, steps = data.series[index], origins[index][windows[own] - firsts[index]]
        name = series.name if several else ""
        lines.append(Line(name, series.times[steps], series.values[steps], quantiles[own, 0]))
    yield "one_step_ahead", forecast_lines(lines, LEVELS, title=title)
    predicted = {"network": test.predicted} | {
        name: other.predicted for name, other in zip(names, others, strict=True)
    }
    target, scale = test.examples["target"], test.examples["scale"]
    errors = {
        name: (np.abs(target - columns["forecast"]) / scale[:, None]).mean(0)
        for name, columns in predicted.items()
    }
    yield "error_by_step", error_by_step(errors, y_label="MASE", title=f"Error on {split}")
    below = {
        name: (target[..., None] <= columns["quantiles"]).mean((0, 1))
        for name, columns in predicted.items()
    }
    yield "calibration", calibration(below, LEVELS, title=f"Quantiles on {split}")


@dataclass(frozen=True)
class Fan:
    """One forecast.

    Attributes:
        name: Name of the series, or "" for the only one.
        past_times: [history], dates or numbers.
        past: [history].
        times: [horizon].
        truth: [horizon].
        quantiles: [horizon, levels].
        other: [horizon], a forecast to compare with.
    """

    name: str
    past_times: np.ndarray
    past: np.ndarray
    times: np.ndarray
    truth: np.ndarray
    quantiles: np.ndarray
    other: np.ndarray


def _fan(data: SeriesData, window: int, quantiles: np.ndarray, other: np.ndarray) -> Fan:
    """Returns a window of the test split as a fan, with the forecasts for its steps."""
    origins = data.origins("test")
    firsts = np.cumsum([0, *map(len, origins)])
    index = int(np.searchsorted(firsts, window, side="right")) - 1
    series, origin = data.series[index], origins[index][window - firsts[index]]
    past = min(data.history, 3 * data.horizon)  # More would leave no room for the forecast.
    return Fan(
        name=series.name if len(data.series) > 1 else "",
        past_times=series.times[origin - past : origin],
        past=series.values[origin - past : origin],
        times=series.times[origin : origin + data.horizon],
        truth=series.values[origin : origin + data.horizon],
        quantiles=quantiles,
        other=other,
    )


def fans(charts: Sequence[Fan], levels: Sequence[float], *, other: str, title: str) -> Figure:
    """Plots forecasts as fans: a band for each pair of levels around the median.

    Args:
        charts: One panel each, three to a row.
        levels: Levels of the quantiles, ascending, the median in the middle.
        other: Name of the forecast to compare with.
        title: Title of the figure.
    """
    rows = -(-len(charts) // 3)
    figure = Figure(figsize=(13, 3.2 * rows + 0.7), layout="constrained")
    figure.suptitle(title)
    # Several series have levels of their own.
    same = len({chart.name for chart in charts}) == 1
    panels = figure.subplots(rows, 3, squeeze=False, sharey=same).flat
    for axes in panels:
        axes.set_axis_off()
    for axes, chart in zip(figure.axes, charts, strict=False):
        axes.set_axis_on()
        axes.plot(chart.past_times, chart.past, color="tab:gray", linewidth=1, label="history")
        _bands(axes, chart.times, chart.quantiles, levels)
        axes.plot(chart.times, chart.other, color=_OTHERS[0], linestyle="--", label=other)
        axes.plot(chart.times, chart.truth, color=_TRUTH, marker=".", label="truth")
        axes.set_title(chart.name, fontsize=9)
        axes.grid(alpha=0.3)
        axes.tick_params("x", rotation=30, labelsize=8)
        axes.yaxis.set_tick_params(labelleft=True)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


@dataclass(frozen=True)
class Line:
    """A part of a series with the forecast that was made for each of its steps.

    Attributes:
        name: Name of the series, or "" for the only one.
        times: [steps], dates or numbers.
        truth: [steps].
        quantiles: [steps, levels].
    """

    name: str
    times: np.ndarray
    truth: np.ndarray
    quantiles: np.ndarray


def forecast_lines(lines: Sequence[Line], levels: Sequence[float], *, title: str) -> Figure:
    """Plots series with the forecast that was made for each of their steps, one below the other.

    Args:
        lines: At least one.
        levels: As in `fans`.
        title: Title of the figure.
    """
    figure = Figure(figsize=(13, 1.4 + 2.8 * len(lines)), layout="constrained")
    figure.suptitle(title)
    for axes, line in zip(figure.subplots(len(lines), squeeze=False).flat, lines, strict=True):
        _bands(axes, line.times, line.quantiles, levels)
        axes.plot(
            line.times,
            line.truth,
            color=_TRUTH,
            linewidth=1,
            marker=".",
            markersize=3,
            label="truth",
        )
        axes.set_title(line.name, fontsize=9)
        axes.tick_params("x", labelsize=8)
        axes.margins(x=0.01)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False, ncols=4)
    return figure


def error_by_step(errors: Mapping[str, np.ndarray], *, y_label: str, title: str) -> Figure:
    """Plots the error at each step ahead.

    Args:
        errors: [horizon] by name, the network's first.
        y_label: What the error is.
        title: Title of the figure.
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


def calibration(
    fractions: Mapping[str, np.ndarray], levels: Sequence[float], *, title: str
) -> Figure:
    """Plots the fraction of the truth below each quantile against its level.

    Args:
        fractions: [levels] by name, the network's first.
        levels: Levels of the quantiles.
        title: Title of the figure.
    """
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="tab:gray", linestyle=":", label="perfectly calibrated")
    for (name, values), style in zip(fractions.items(), _styles(len(fractions)), strict=True):
        axes.plot(levels, values, marker="o", label=name, **style)
    axes.set(xlabel="level of the quantile", ylabel="fraction of the truth below it", title=title)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=levels, aspect="equal")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _bands(axes: Axes, times: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> None:
    """Plots the median and the bands around it, wider ones paler."""
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
    """Returns the styles of lines, the network's first."""
    others = [
        {"color": _OTHERS[index % len(_OTHERS)], "linestyle": "--"} for index in range(count - 1)
    ]
    return [{"color": _NETWORK}, *others]
