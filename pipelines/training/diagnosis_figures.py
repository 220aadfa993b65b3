"""Figures of a diagnosis: heat maps of layers over time, gradients over sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from pipelines import style
from pipelines.style import styled

_TITLES = {
    "gradient_norm": "gradient norm",
    "weight_norm": "weight norm",
    "update_ratio": "update / weight",
    "mean": "activation mean",
    "deviation": "activation deviation",
    "saturation": "saturated outputs",
    "dead_units": "dead units",
}


class Diagnosed(Protocol):
    """What is drawn: values [probes, layers] by name."""

    record: Recorded

    def values(self, name: str) -> np.ndarray:
        """Returns one kind of value, float [probes, layers]."""

    def layers(self, name: str) -> tuple[str, ...]:
        """Returns the names of the layers that have one kind of value."""


class Recorded(Protocol):
    """The steps of the probes, and gradients over time."""

    steps: list[int]
    over_time: dict[str, list[np.ndarray]]


def figures(diagnosed: Diagnosed) -> Iterator[tuple[str, Figure]]:
    """Yields the figures by name."""
    steps = diagnosed.record.steps
    for name, values in (
        ("diagnosis_weights", ("gradient_norm", "weight_norm", "update_ratio")),
        ("diagnosis_activations", ("mean", "deviation", "saturation", "dead_units")),
    ):
        maps = {value: diagnosed.values(value) for value in values}
        maps = {value: rows for value, rows in maps.items() if rows.size}
        if maps:
            yield name, heat_maps(maps, diagnosed.layers(values[0]), steps)
    if diagnosed.record.over_time:
        yield "diagnosis_over_time", over_time(diagnosed.record.over_time, steps)


@styled
def heat_maps(maps: dict[str, np.ndarray], layers: Sequence[str], steps: Sequence[int]) -> Figure:
    """Plots values of layers (rows, the input on top) over training steps, side by side.

    Args:
        maps: float [probes, layers] by kind of value; white where there is none.
        layers: Names of the rows.
        steps: Step of each probe.
    """
    count = len(layers)
    height = min(3.0 + 0.16 * count, 11.0)
    figure = Figure(figsize=(2.0 + 3.4 * len(maps), height), layout="constrained")
    panels = figure.subplots(1, len(maps), squeeze=False, sharey=True)[0]
    shown_steps = np.unique(np.linspace(0, len(steps) - 1, min(4, len(steps))).round().astype(int))
    for axes, (name, values) in zip(panels, maps.items(), strict=True):
        image = axes.imshow(
            np.ma.masked_invalid(values.T),
            aspect="auto",
            interpolation="nearest",
            cmap="RdBu_r" if name == "mean" else "viridis",
            norm=_norm(name, values),
        )
        bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.9)
        if isinstance(image.norm, LogNorm):
            low, high = image.norm.vmin or 1.0, image.norm.vmax or 1.0
            ticks = np.geomspace(low, high, 4).tolist()
            bar.set_ticks(
                ticks, labels=[f"{float(f'{tick:.1g}'):g}" for tick in ticks], minor=False
            )
            bar.ax.minorticks_off()
        axes.set(title=_TITLES[name], xlabel="step")
        axes.set_xticks(shown_steps, [str(steps[index]) for index in shown_steps])
    # Names are an eighth of an inch apart.
    names = style.thinned(count, int((height - 1.6) / 0.125))
    panels[0].set_yticks(
        names, [style.shortened(layers[index], 2.2, 7) for index in names], fontsize=7
    )
    return figure


def _norm(name: str, values: np.ndarray) -> Normalize:
    finite = values[np.isfinite(values)]
    if name in ("saturation", "dead_units"):
        return Normalize(0, 1)
    if name == "mean":
        largest = max(float(np.abs(finite).max(initial=0.0)), 1e-12)
        return Normalize(-largest, largest)
    positive = finite[finite > 0]
    if not len(positive):
        return Normalize(0, 1)
    # Over more than twelve powers of ten, colors would say little.
    high = float(positive.max())
    low = max(float(positive.min()), high * 1e-12)
    return LogNorm(low if low < high else high / 10, high)


@styled
def over_time(norms: dict[str, list[np.ndarray]], steps: Sequence[int]) -> Figure:
    """Plots the gradient's norm at the input of each step that a recurrent layer reads.

    Args:
        norms: By layer, float [time] for each probe.
        steps: Training step of each probe.
    """
    figure = Figure(figsize=(1.5 + 4.2 * len(norms), 3.8), layout="constrained")
    panels = figure.subplots(1, len(norms), squeeze=False, sharey=True)[0]
    shown = np.unique(np.linspace(0, len(steps) - 1, min(5, len(steps))).round().astype(int))
    for axes, (name, rows) in zip(panels, norms.items(), strict=True):
        for place, index in enumerate(shown):
            row = np.array(rows[index])
            real = np.where(row > 0, row, np.nan)
            color = style.COLORS[place]
            marker = "o" if len(row) == 1 else None
            label = f"step {steps[index]}"
            axes.plot(np.arange(1, len(row) + 1), real, color=color, marker=marker, label=label)
        axes.set(title=style.shortened(name, 3.6, 10), xlabel="position in the sequence")
        axes.set_yscale("log")
        style.powers(axes.yaxis)
        style.whole_numbers(axes.xaxis)
        axes.grid()
    panels[0].set_ylabel("gradient norm at the input")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure
