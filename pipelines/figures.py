"""Figures that every task may use, drawn by matplotlib and shown by MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from sklearn.metrics import ConfusionMatrixDisplay


def learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Plots each metric of training and validation over epochs, side by side.

    Args:
        history: Values per epoch by name, as `keras.callbacks.History.history`; a name that
            starts with `val_` shares the panel of the name without it.
    """
    panels = [name for name in history if f"val_{name}" in history]
    figure = Figure(figsize=(5.5 * len(panels), 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        epochs = range(1, len(history[name]) + 1)
        axes.plot(epochs, history[name], label="training", color="tab:gray")
        axes.plot(epochs, history[f"val_{name}"], label="validation", color="tab:blue")
        axes.set(title=name, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def confusion_matrix(
    truth: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Plots the number of examples of each true class (row) by predicted class (column).

    Args:
        truth: int [examples], true labels.
        predicted: int [examples], predicted labels.
        class_names: Names in the order of the labels.
    """
    counts = np.zeros((len(class_names), len(class_names)), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    title = f"Accuracy {(truth == predicted).mean():.1%} on {len(truth)} test examples"
    return _matrix(counts, class_names, title=title)


def normalized_confusion_matrix(
    counts: np.ndarray, class_names: Sequence[str], *, title: str
) -> Figure:
    """Plots the fraction of each true class (row) that was predicted as each class (column).

    Args:
        counts: int [classes, classes], a row for each true class; empty rows stay empty.
        class_names: Names in the order of the classes.
        title: Title of the figure.
    """
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    limits = {"vmin": 0, "vmax": 1}
    return _matrix(fractions, class_names, title=title, values_format=".2f", im_kw=limits)


def _matrix(
    values: np.ndarray, class_names: Sequence[str], *, title: str, **options: Any
) -> Figure:
    side = min(max(4.5, 0.55 * len(class_names) + 1), 24.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    ConfusionMatrixDisplay(values, display_labels=class_names).plot(
        cmap="Blues",
        colorbar=False,
        include_values=len(class_names) <= 30,
        xticks_rotation="vertical" if max(map(len, class_names)) > 2 else "horizontal",
        ax=axes,
        **options,
    )
    axes.set(title=title)
    return figure


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> Figure:
    """Plots accuracy over confidence in bins, and the number of examples in each bin.

    Args:
        confidence: float [examples], probability of the predicted class.
        right: bool [examples], whether the prediction was right.
        bins: Number of bins of equal width.
    """
    edges = np.linspace(0, 1, bins + 1)
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = counts > 0
    accuracy = np.bincount(index, weights=right, minlength=bins)[filled] / counts[filled]
    mean = np.bincount(index, weights=confidence, minlength=bins)[filled] / counts[filled]
    figure = Figure(figsize=(5, 5.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot([0, 1], [0, 1], color="tab:gray", linestyle="--", label="perfectly calibrated")
    top.plot(mean, accuracy, marker="o", color="tab:blue", label="model")
    top.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    top.legend(frameon=False)
    top.grid(alpha=0.3)
    bottom.bar(edges[:-1], counts, width=1 / bins, align="edge", color="tab:blue", alpha=0.6)
    bottom.set(xlabel="probability of the predicted class", ylabel="examples")
    figure.suptitle(f"Reliability on {len(confidence)} test examples")
    return figure


def image_grid(images: Sequence[np.ndarray], captions: Sequence[str], *, title: str) -> Figure:
    """Plots images in rows of eight, each under its caption.

    Args:
        images: uint8 [height, width, channels] each, one or three channels.
        captions: One per image.
        title: Title of the figure.
    """
    columns = 8
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.5 * columns, 1.9 * rows + 0.4), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes in panels:
        axes.set_axis_off()
    for axes, image, caption in zip(figure.axes, images, captions, strict=False):
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(caption, fontsize=9)
    return figure


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
    figure = Figure(
        figsize=(0.4 + 1.6 * len(captions), 1 + 1.65 * height / width * len(rows)),
        layout="constrained",
    )
    figure.suptitle(title)
    panels = figure.subplots(len(rows), len(captions), squeeze=False)
    for line, (name, images) in zip(panels, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
    for axes, caption in zip(panels[0], captions, strict=True):
        axes.set_title(caption, fontsize=9)
    figure.legend(
        handles=[Patch(color=tuple(color / 255), label=name) for name, color in legend.items()],
        loc="outside lower center",
        ncols=min(max(len(legend), 1), 2 * len(captions)),
        frameon=False,
    )
    return figure


def bars(values: Mapping[str, float], *, x_label: str, title: str, largest: float = 1.0) -> Figure:
    """Plots a value from 0 to `largest` for each name as a horizontal bar, in the given order."""
    figure = Figure(figsize=(6, 1.2 + 0.3 * len(values)), layout="constrained")
    axes = figure.subplots()
    container = axes.barh(list(values), np.nan_to_num(list(values.values())), color="tab:blue")
    axes.bar_label(container, [f"{value:.3f}" for value in values.values()], padding=3, fontsize=9)
    ticks = np.linspace(0, largest, 6)
    axes.set(xlabel=x_label, xlim=(0, 1.12 * largest), xticks=ticks, title=title)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def lines(
    series: Mapping[str, Sequence[float]], *, x_label: str, y_label: str, title: str
) -> Figure:
    """Plots values over 0, 1, 2, …, a line for each name."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in series.items():
        axes.plot(range(len(values)), values, marker="o", label=name)
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    axes.set_xticks(range(max(map(len, series.values()))))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
