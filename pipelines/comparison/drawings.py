"""Pictures of a comparison as SVG, in the colors of the page that they stand in."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines import metric_names
from pipelines.comparison.comparison import ComparedRun, Comparison, Difference

# Stands for the color of the page's text, which it becomes.
_TEXT = "#010203"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "comparison",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.titlecolor": _TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "text.color": _TEXT,
    "grid.color": _TEXT,
}
_SIZE = (4.4, 3.0)
_MAX_PANELS = 24


def colors(count: int) -> list[str]:
    """Returns a color for each run; those of more than twenty repeat."""
    table = matplotlib.colormaps["tab10" if count <= 10 else "tab20"]
    return [matplotlib.colors.to_hex(table(number % table.N)) for number in range(count)]


def curves(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Yields a title and a picture for each metric of training, with the curves of all runs.

    Solid lines are validation, dashed ones training.
    """
    found = {name for run in comparison.runs for name in run.curves}
    metrics = {name.removeprefix("val_") for name in found}
    drawn = colors(len(comparison.runs))
    for metric in sorted(metrics, key=lambda name: (name != "loss", name))[:_MAX_PANELS]:
        with matplotlib.rc_context(_STYLE):
            figure = Figure(figsize=_SIZE, layout="constrained")
            axes = figure.subplots()
            for run, color in zip(comparison.runs, drawn, strict=True):
                _curve(axes, run, metric, color, "--")
                _curve(axes, run, f"val_{metric}", color, "-")
            title = metric_names.words(metric)
            axes.set(xlabel="epoch", title=title)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.2)
            yield title, _svg(figure, f"curves of {title}")


def differences(found: Sequence[Difference], name: str, drawn: Sequence[str]) -> str:
    """Returns a picture of the differences of one score with their intervals.

    Args:
        found: Differences, those of other scores left out.
        name: The score.
        drawn: The color of each run, in the order of their labels.
    """
    own = [each for each in found if each.name == name]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_SIZE[0] * 1.3, 1.1 + 0.32 * len(own)), layout="constrained")
        axes = figure.subplots()
        for place, each in enumerate(own):
            color = drawn[int(each.run) - 1]
            axes.plot(each.interval, (place, place), color=color, linewidth=2.5)
            axes.plot(each.value, place, "o", color=color)
        axes.axvline(0, color=_TEXT, linewidth=1, linestyle=":")
        axes.set_yticks(range(len(own)), [f"run {each.run}" for each in own])
        axes.set(ylim=(len(own) - 0.4, -0.6))
        axes.set_xlabel(f"test {metric_names.words(name)}, less that of run {own[0].reference}")
        axes.grid(axis="x", alpha=0.2)
        return _svg(figure, f"differences of {metric_names.words(name)} with their intervals")


def _curve(axes: Axes, run: ComparedRun, name: str, color: str, line: str) -> None:
    if name not in run.curves:
        return
    steps, values = run.curves[name]
    # A single epoch is a point.
    marker = "o" if len(steps) == 1 else None
    validation = line == "-"
    axes.plot(
        *(steps, values),
        color=color,
        linestyle=line,
        marker=marker,
        fillstyle="full" if validation else "none",
        linewidth=1.8 if validation else 1.1,
        alpha=1.0 if validation else 0.7,
    )


def _svg(figure: Figure, description: str) -> str:
    """Returns a picture that takes the page's color of text and as much of its width as fits."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_TEXT, "currentColor")
    # What is not valid within HTML, or would name other places.
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg role="img" viewBox="\1">', text)
    return text.replace(">", f"><title>{description}</title>", 1)
