"""Figures of forecasts: fans, one-step forecasts, errors by step, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines import style
from pipelines.baselines import Baseline
from pipelines.predictions import Predictions, in_common
from pipelines.style import BASELINE, NETWORK, OTHER, TRUTH, styled
from pipelines.tasks.forecasting.data import SeriesData
from pipelines.tasks.forecasting.metrics import LEVELS

_MAX_LINES, _MAX_STEPS = 4, 300
# Of baselines beside the strongest; they differ by their markers too.
_OTHERS = (BASELINE, style.RIGHT, style.COLORS[3], style.MISSED)


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
    unit = data.series[0].unit or data.name
    yield "fans", fans(panels, LEVELS, other=strongest.name, title=title, unit=unit)
    title = f"One step ahead through {split}, at most its last {_MAX_STEPS} steps"
    origins = data.origins("test")
    firsts = np.cumsum([0, *map(len, origins)])
    several = len(data.series) > 1
    lines = []
    for index in np.unique(np.linspace(0, len(data.series) - 1, _MAX_LINES).astype(int)):
        own = np.flatnonzero((windows >= firsts[index]) & (windows < firsts[index + 1]))
        own = own[-_MAX_STEPS:]
        series, steps = data.series[index], origins[index][windows[own] - firsts[index]]
        name = series.name if several else ""
        lines.append(Line(name, series.times[steps], series.values[steps], quantiles[own, 0]))
    yield "one_step_ahead", forecast_lines(lines, LEVELS, title=title, unit=unit)
    predicted = {"network": test.predicted} | {
        name: other.predicted for name, other in zip(names, others, strict=True)
    }
    target, scale = test.examples["target"], test.examples["scale"]
    errors = {
        name: (np.abs(target - columns["forecast"]) / scale[:, None]).mean(0)
        for name, columns in predicted.items()
    }
    label = style.directed("MASE", False)
    yield "error_by_step", error_by_step(errors, y_label=label, title=f"Error on {split}")
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


@styled
def fans(
    charts: Sequence[Fan], levels: Sequence[float], *, other: str, title: str, unit: str = ""
) -> Figure:
    """Plots forecasts as fans: a band for each pair of levels around the median.

    Args:
        charts: One panel each, three to a row.
        levels: Levels of the quantiles, ascending, the median in the middle.
        other: Name of the forecast to compare with.
        title: Title of the figure.
        unit: What the values are.
    """
    columns = min(len(charts), 3)
    rows = -(-len(charts) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows + 1), layout="constrained")
    style.title(figure, title)
    # Several series have levels of their own.
    same = len({chart.name for chart in charts}) == 1
    grid = figure.subplots(rows, columns, squeeze=False, sharey=same)
    for axes in grid.flat[len(charts) :]:
        axes.set_axis_off()
    for axes, chart in zip(grid.flat, charts, strict=False):
        # To the first step of the truth, that there is no gap.
        times = np.append(chart.past_times, chart.times[:1])
        axes.plot(times, np.append(chart.past, chart.truth[:1]), color=OTHER, label="history")
        _bands(axes, chart.times, chart.quantiles, levels)
        axes.plot(chart.times, chart.other, color=BASELINE, linestyle="--", label=other)
        axes.plot(chart.times, chart.truth, color=TRUTH, marker=".", linewidth=1, label="truth")
        axes.set_title(style.shortened(chart.name, 3, 10))
        axes.grid()
        style.dates(axes.xaxis, chart.times)
    for axes in grid[:, 0]:
        axes.set_ylabel(style.shortened(unit, 2.2, 10))
    _legend(figure)
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


@styled
def forecast_lines(
    lines: Sequence[Line], levels: Sequence[float], *, title: str, unit: str = ""
) -> Figure:
    """Plots series with the forecast that was made for each of their steps, one below the other.

    Args:
        lines: At least one.
        levels: As in `fans`.
        title: Title of the figure.
        unit: What the values are.
    """
    figure = Figure(figsize=(13, 1.4 + 2.8 * len(lines)), layout="constrained")
    style.title(figure, title)
    for axes, line in zip(figure.subplots(len(lines), squeeze=False).flat, lines, strict=True):
        _bands(axes, line.times, line.quantiles, levels)
        axes.plot(line.times, line.truth, color=TRUTH, linewidth=0.8, marker=".", label="truth")
        axes.set_title(style.shortened(line.name, 8, 10))
        axes.set_ylabel(style.shortened(unit, 2.2, 10))
        axes.margins(x=0.01)
        axes.grid()
        style.dates(axes.xaxis, line.times)
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    """Explains the lines of the first panel below all."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    labels = [style.shortened(label, 3) for label in labels]
    columns = style.legend_columns(labels, figure.get_size_inches()[0])
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)


@styled
def error_by_step(errors: Mapping[str, np.ndarray], *, y_label: str, title: str) -> Figure:
    """Plots the error at each step ahead.

    Args:
        errors: [horizon] by name, the network's first.
        y_label: What the error is.
        title: Title of the figure.
    """
    figure = Figure(figsize=(7, 4.8), layout="constrained")
    style.title(figure, title)
    axes = figure.subplots()
    for (name, values), how in zip(errors.items(), _styles(len(errors)), strict=True):
        axes.plot(range(1, len(values) + 1), values, label=name, **how)
    axes.set(xlabel="steps ahead", ylabel=y_label)
    axes.set_ylim(bottom=0)
    style.whole_numbers(axes.xaxis)
    axes.grid()
    _legend(figure)
    return figure


@styled
def calibration(
    fractions: Mapping[str, np.ndarray], levels: Sequence[float], *, title: str
) -> Figure:
    """Plots the fraction of the truth below each quantile against its level.

    Args:
        fractions: [levels] by name, the network's first.
        levels: Levels of the quantiles.
        title: Title of the figure.
    """
    figure = Figure(figsize=(5.5, 6), layout="constrained")
    style.title(figure, title)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=OTHER, linestyle=":", label="perfectly calibrated")
    for (name, values), how in zip(fractions.items(), _styles(len(fractions)), strict=True):
        axes.plot(levels, values, label=name, **how)
    axes.set(xlabel="level of the quantile", ylabel="fraction of the truth below it")
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=levels, aspect="equal")
    axes.grid()
    _legend(figure)
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
            color=NETWORK,
            alpha=0.15 + 0.2 * index / pairs,
            linewidth=0,
            label=f"{100 * (high - low):.3g} % interval",
        )
    axes.plot(times, quantiles[:, pairs], color=NETWORK, label="median")


def _styles(count: int) -> list[dict[str, Any]]:
    """Returns the styles of lines, the network's first."""
    others = [
        {"color": color, "linestyle": "--", "marker": marker}
        for color, marker, _ in zip(
            cycle(_OTHERS), cycle("^sDvPX*"), range(count - 1), strict=False
        )
    ]
    return [{"color": NETWORK, "marker": "o"}, *others]
