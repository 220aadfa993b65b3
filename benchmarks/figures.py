"""Figures of the measurements, with matplotlib."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from benchmarks.samples import Row, Split

PERCENTILES = (50, 90, 99)
_STYLES = dict(zip(PERCENTILES, ("-", "--", ":"), strict=True))
_COLORS = {
    "transport": "tab:gray",
    "codec": "tab:orange",
    "queue": "tab:purple",
    "runtime": "tab:blue",
}


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Returns by name the figures for which there are measurements."""
    closed = [row for row in rows if not row.load.rate]
    found = {
        "latency_against_load": _latency_against_load([row for row in rows if row.load.rate]),
        "throughput_against_concurrency": _throughput(closed),
        "batch_sizes": _batch_sizes(closed),
        "time_split": _time_split(closed),
    }
    return {name: figure for name, figure in found.items() if figure}


def _latency_against_load(rows: Sequence[Row]) -> Figure | None:
    """Plots percentiles of latency over the offered rate, a panel for each experiment."""
    experiments = _distinct(row.experiment for row in rows)
    if not experiments:
        return None
    figure = Figure(figsize=(7.5 * len(experiments), 4.5), layout="constrained")
    panels = figure.subplots(1, len(experiments), squeeze=False)[0]
    for axes, experiment in zip(panels, experiments, strict=True):
        own = [row for row in rows if row.experiment == experiment]
        for number, system in enumerate(_distinct(row.system for row in own)):
            curve = [row for row in own if row.system == system]
            for percentile in PERCENTILES:
                axes.plot(
                    [row.load.rate for row in curve],
                    [row.milliseconds(percentile) for row in curve],
                    _STYLES[percentile],
                    marker="o",
                    markersize=4,
                    color=f"C{number}",
                    label=f"{system}, p{percentile}",
                )
        axes.set(
            title=f"{experiment}: open loop",
            xlabel="offered requests/s",
            ylabel="latency, ms",
            yscale="log",
            xlim=(0, None),
        )
        _plain(axes)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _throughput(rows: Sequence[Row]) -> Figure | None:
    """Plots answers per second over concurrent clients, a panel for each experiment."""
    by_experiment = {
        experiment: [row for row in rows if row.experiment == experiment]
        for experiment in _distinct(row.experiment for row in rows)
    }
    swept = {
        experiment: own
        for experiment, own in by_experiment.items()
        if len({row.load.callers for row in own}) > 1
    }
    if not swept:
        return None
    figure = Figure(figsize=(6 * len(swept), 4.5), layout="constrained")
    panels = figure.subplots(1, len(swept), squeeze=False)[0]
    for axes, (experiment, own) in zip(panels, swept.items(), strict=True):
        for system in _distinct(row.system for row in own):
            curve = [row for row in own if row.system == system]
            axes.plot(
                [row.load.callers for row in curve],
                [row.rate for row in curve],
                marker="o",
                label=system,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({row.load.callers for row in own}))
        axes.set(
            title=f"{experiment}: closed loop",
            xlabel="concurrent clients",
            ylabel="requests/s",
            ylim=(0, None),
        )
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _batch_sizes(rows: Sequence[Row]) -> Figure | None:
    """Plots the distribution of batch sizes: a line for each server, a column for each load."""
    batched = [(row, row.served.batches) for row in rows if row.served.batches]
    batched = [(row, batches) for row, batches in batched if batches.count]
    if not batched:
        return None
    # All panels show the same sizes, to be comparable.
    every = functools.reduce(operator.add, [batches for _, batches in batched]).sizes()
    names = _distinct(row.system for row, _ in batched)
    loads = _distinct(row.asked for row, _ in batched)
    figure = Figure(figsize=(4.2 * len(loads), 3.4 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), len(loads), squeeze=False, sharex=True, sharey=True)
    for row, batches in batched:
        sizes = batches.sizes()
        axes = panels[names.index(row.system), loads.index(row.asked)]
        fractions = [sizes.get(size, 0.0) / batches.count for size in every]
        axes.bar(list(every), fractions, color=_COLORS["queue"])
        axes.set(title=f"{row.system}, {row.asked}\nmean {batches.mean:.1f} rows")
    figure.supxlabel("rows in the batch", fontsize="medium")
    figure.supylabel("fraction of batches", fontsize="medium")
    return figure


def _time_split(rows: Sequence[Row]) -> Figure | None:
    """Plots the parts of the mean request's time, a panel for each experiment."""
    known = [(row, row.split) for row in rows if row.split]
    experiments = _distinct(row.experiment for row, _ in known)
    if not experiments:
        return None
    heights = [
        1.0 + sum(row.experiment == experiment for row, _ in known) for experiment in experiments
    ]
    figure = Figure(figsize=(9, 0.8 + 0.34 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(experiments), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, experiment in zip(panels, experiments, strict=True):
        own = [(row, split) for row, split in known if row.experiment == experiment]
        labels = [f"{row.system}, {row.asked}" for row, _ in own]
        left = [0.0] * len(own)
        for place, field in enumerate(fields(Split)):
            widths = [max(0.0, astuple(split)[place]) for _, split in own]
            axes.barh(labels, widths, left=left, label=field.name, color=_COLORS[field.name])
            left = [edge + width for edge, width in zip(left, widths, strict=True)]
        axes.set(title=experiment, xlabel="mean time of a request, ms")
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(handles), frameon=False)
    return figure


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _plain(axes: Axes) -> None:
    """Writes the ticks of a logarithmic axis as numbers."""
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
