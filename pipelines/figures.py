"""Figures that every task may use, drawn by matplotlib and shown by MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from statsmodels.stats.proportion import proportion_confint

from pipelines import style
from pipelines.baselines import Baseline
from pipelines.style import BASELINE, NETWORK, OTHER, styled

# Epochs up to which each has a marker.
_MARKED = 30
# Values in the cells of a confusion matrix are readable up to this number of classes, and its
# names at this distance, in inches.
_MAX_VALUES, _NAME = 30, 0.16
_LONGEST_NAME = 2.2


@styled
def learning_curves(
    history: Mapping[str, Sequence[float]],
    *,
    kept: int | None = None,
    better: Mapping[str, bool] | None = None,
    baseline: Baseline | None = None,
) -> Figure:
    """Plots each metric of training and validation over epochs, side by side.

    Args:
        history: Values per epoch by name, as `keras.callbacks.History.history`; a name that
            starts with `val_` shares the panel of the name without it.
        kept: The epoch, from 1 on, whose weights are kept.
        better: By metric, whether higher values are better.
        baseline: The strongest one, whose scores on validation are marked.
    """
    panels = [name for name in history if f"val_{name}" in history]
    columns = min(max(len(panels), 1), 3)
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(max(4.4 * columns, 5.5), 3.2 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, name in zip(grid, panels, strict=False):
        _curves(axes, history[name], history[f"val_{name}"], kept)
        words = style.shortened(name.replace("_", " "), 1.6, 10)
        known = name in (better or {})
        axes.set_title(style.directed(words, (better or {})[name]) if known else words)
        if baseline and name in baseline.validation:
            label = f"baseline: {style.shortened(baseline.name, 3)}"
            value = baseline.validation[name]
            axes.axhline(value, color=BASELINE, linestyle="--", label=label)
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    shown = {label: line for axes in figure.axes for line, label in _labeled(axes)}
    figure.legend(
        shown.values(),
        shown.keys(),
        loc="outside lower left",
        ncols=style.legend_columns(list(shown), figure.get_size_inches()[0]),
    )
    return figure


def _curves(
    axes: Axes, training: Sequence[float], validation: Sequence[float], kept: int | None
) -> None:
    epochs = range(1, len(training) + 1)
    marker = "o" if len(epochs) <= _MARKED else None
    axes.plot(epochs, training, label="training", color=OTHER, marker=marker)
    axes.plot(epochs, validation, label="validation", color=NETWORK, marker=marker)
    if kept is not None and kept <= len(epochs):
        axes.plot(
            *(kept, validation[kept - 1], "o"),
            color=NETWORK,
            markersize=10,
            fillstyle="none",
            label=f"kept: epoch {kept}",
        )
    axes.set_xlabel("epoch")
    if len(epochs) == 1:
        axes.set_xlim(0.5, 1.5)
    style.whole_numbers(axes.xaxis)
    axes.grid()


def _labeled(axes: Axes) -> list[tuple]:
    return list(zip(*axes.get_legend_handles_labels(), strict=True))


def confusion_matrix(
    truth: np.ndarray, predicted: np.ndarray, class_names: Sequence[str], *, counted: str
) -> Figure:
    """Plots the number of examples of each true class (row) by predicted class (column).

    Colors are fractions of rows.

    Args:
        truth: int [examples], true labels.
        predicted: int [examples], predicted labels.
        class_names: Names in the order of the labels.
        counted: What an example is, as "images".
    """
    counts = np.zeros((len(class_names), len(class_names)), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    title = f"Accuracy {accuracy:.1%} on {len(truth):,} test {counted}"
    return _matrix(counts, class_names, title, f"number of {counted}")


def normalized_confusion_matrix(
    counts: np.ndarray, class_names: Sequence[str], *, title: str, counted: str
) -> Figure:
    """Plots the fraction of each true class (row) that was predicted as each class (column).

    Args:
        counts: int [classes, classes], a row for each true class; empty rows stay empty.
        class_names: Names in the order of the classes.
        title: Title of the figure.
        counted: What is counted, as "pixels".
    """
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return _matrix(fractions, class_names, title, f"fraction of the true class's {counted}")


@styled
def _matrix(values: np.ndarray, class_names: Sequence[str], title: str, counted: str) -> Figure:
    count = len(class_names)
    texts = [[_cell(value) for value in row] for row in values.tolist()]
    longest = max((style.width_of(text, 9) for row in texts for text in row), default=0.0)
    cell = float(np.clip(longest + 0.12, 0.45, 0.8)) if count <= _MAX_VALUES else _NAME
    side = min(max(cell * count, 1.8), 14.0)
    names = [style.shortened(name, _LONGEST_NAME) for name in class_names]
    shown = style.thinned(count, int(side / _NAME))
    wide = max(style.width_of(name, 9) for name in names)
    upright = wide < 0.9 * side / count
    size = (side + wide + 0.9, side + (0.3 if upright else wide) + 1.2)
    figure = Figure(figsize=(max(size[0], 4.5), size[1]), layout="constrained")
    style.title(figure, title)
    axes = figure.subplots()
    fractions = values / np.maximum(values.sum(1, keepdims=True), 1e-12)
    axes.imshow(fractions, vmin=0, vmax=1)
    if count <= _MAX_VALUES:
        fits = min(9.0, 9.0 * 0.92 * side / count / max(longest, 1e-9))
        for (row, column), fraction in np.ndenumerate(fractions):
            if texts[row][column]:
                color = "white" if fraction > 0.5 else "black"
                text = texts[row][column]
                axes.text(column, row, text, color=color, size=fits, ha="center", va="center")
    shown_names = [names[index] for index in shown]
    axes.set_xticks(shown, shown_names, rotation=0 if upright else 90)
    axes.set_yticks(shown, shown_names)
    axes.set_ylabel("true")
    figure.supxlabel(f"predicted ({counted})", size=10)
    return figure


def _cell(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}" if value else ""
    return f"{value:.2f}" if value >= 0.005 else "<.01" if value else ""


@styled
def reliability(
    confidence: np.ndarray, right: np.ndarray, error: float, *, counted: str, bins: int = 12
) -> Figure:
    """Plots accuracy over confidence in bins of equally many examples, and how these are spread.

    Bars are 95 % intervals of the accuracy (Wilson, "Probable Inference", 1927).

    Args:
        confidence: float [examples], probability of the predicted class.
        right: bool [examples], whether the prediction was right.
        error: The calibration error.
        counted: What an example is, as "images".
        bins: Number of bins at most.
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    mean = np.array([confidence[part].mean() for part in parts])
    accuracy = np.array([right[part].mean() for part in parts])
    limits = [proportion_confint(right[part].sum(), len(part), method="wilson") for part in parts]
    figure = Figure(figsize=(5, 5.8), layout="constrained")
    style.title(figure, f"Calibration error {error:.3f} on {len(confidence):,} test {counted}")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot([0, 1], [0, 1], color=OTHER, linestyle="--", label="perfectly calibrated")
    if parts:
        around = np.abs(np.array(limits).T - accuracy)
        top.errorbar(mean, accuracy, around, color=NETWORK, elinewidth=1, capsize=2)
        label = f"network, {len(parts[0]):,} {counted} a point, 95 % intervals"
        top.plot(mean, accuracy, "o", color=NETWORK, label=label)
    top.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    top.legend(loc="lower center", bbox_to_anchor=(0.5, 1), borderaxespad=0)
    top.grid()
    bottom.hist(confidence, bins=np.linspace(0, 1, 21).tolist(), color=NETWORK)
    bottom.set(xlabel="probability of the predicted class", ylabel=counted)
    style.whole_numbers(bottom.yaxis, 4)
    return figure


@styled
def image_grid(images: Sequence[np.ndarray], captions: Sequence[str], *, title: str) -> Figure:
    """Plots images in rows of eight, each under its caption.

    Args:
        images: uint8 [height, width, channels] each, one or three channels.
        captions: One per image; each of its lines is cut where it is too long.
        title: Title of the figure.
    """
    columns, cell = 8, 1.5
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    step = 0.17 * lines + cell + 0.05
    rows = -(-len(images) // columns)
    figure, axes = style.page(columns * cell + 0.1, 0.6 + step * rows)
    style.heading(axes, title)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = 0.1 + number % columns * cell, 0.55 + number // columns * step
        for line, text in enumerate(caption.split("\n")):
            text = style.shortened(text, cell - 0.15)
            axes.text(left, top + 0.17 * line, text, size=9, va="top")
        place = (left, top + 0.17 * lines + 0.03)
        style.picture(axes, image, place, (cell - 0.1, cell - 0.1))
    return figure


@styled
def image_rows(
    rows: Mapping[str, Sequence[np.ndarray] | np.ndarray],
    captions: Sequence[str],
    *,
    legend: Mapping[str, np.ndarray],
    title: str,
) -> Figure:
    """Plots rows of images, one column for each example.

    Args:
        rows: Images of each row by its name, uint8 [height, width, 1 or 3] each, of one size.
        captions: One per column.
        legend: Colors by their meaning, uint8 [3] each.
        title: Title of the figure.
    """
    height, width = next(iter(rows.values()))[0].shape[:2]
    cell, names = 1.55, [style.shortened(name, 2) for name in legend]
    step = cell * float(np.clip(height / width, 0.6, 3.0))
    across = 0.4 + cell * max(len(captions), 3)
    per_row = style.legend_columns(names, across)
    below = 0.3 + 0.22 * -(-len(names) // per_row)
    figure, axes = style.page(across, 0.85 + step * len(rows) + below)
    style.heading(axes, title)
    for column, caption in enumerate(captions):
        left = 0.35 + column * cell
        axes.text(left, 0.55, style.shortened(caption, cell - 0.1), size=9, va="top")
    for row, (name, images) in enumerate(rows.items()):
        top = 0.75 + row * step
        axes.text(0.18, top + step / 2, name, rotation=90, ha="center", va="center")
        for column, image in enumerate(images):
            style.picture(axes, image, (0.35 + column * cell, top), (cell - 0.05, step - 0.05))
    figure.legend(
        [Patch(color=tuple(color / 255)) for color in legend.values()],
        names,
        loc="lower left",
        ncols=per_row,
    )
    return figure


@styled
def bars(
    values: Mapping[str, float],
    *,
    x_label: str,
    title: str,
    largest: float = 1.0,
    colors: Sequence[str] = (NETWORK,),
) -> Figure:
    """Plots a value from 0 to `largest` for each name as a horizontal bar, in the given order."""
    names = ["\n".join(style.shortened(line, 3) for line in name.split("\n")) for name in values]
    lines = sum(name.count("\n") + 1 for name in names)
    beside = max((style.width_of(x, 9) for name in names for x in name.split("\n")), default=0)
    figure = Figure(figsize=(5 + beside, 1.3 + 0.26 * max(lines, 1)), layout="constrained")
    style.title(figure, title)
    axes = figure.subplots()
    container = axes.barh(range(len(names)), np.nan_to_num([*values.values()]), color=list(colors))
    form = "{:.3f}" if largest <= 1 else "{:.4g}"
    axes.bar_label(container, [form.format(value) for value in values.values()], padding=3, size=9)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, largest)
    figure.supxlabel("\n".join(style.wrapped(x_label, 4.5 + beside, size=10)), size=10)
    if largest in (1.0, 100.0):
        axes.set_xticks(np.linspace(0, largest, 6))
    axes.invert_yaxis()
    axes.grid(axis="x")
    return figure


@styled
def lines(
    series: Mapping[str, Sequence[float]], *, x_label: str, y_label: str, title: str
) -> Figure:
    """Plots values over 0, 1, 2, …, a line for each name."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    style.title(figure, title)
    axes = figure.subplots()
    for (name, values), marker in zip(series.items(), style.MARKERS, strict=False):
        axes.plot(range(len(values)), values, marker=marker, label=name)
    axes.set(xlabel=x_label, ylabel=y_label)
    style.whole_numbers(axes.xaxis)
    axes.grid()
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(series), borderaxespad=0)
    return figure
