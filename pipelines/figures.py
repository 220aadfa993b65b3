"""Pictures of a run, as matplotlib figures that MLflow shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from sklearn.metrics import ConfusionMatrixDisplay


def learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draws each metric of training and validation over epochs, side by side.

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
    """Draws how often each class was taken for each other one.

    Args:
        truth: int [examples], true labels.
        predicted: int [examples], predicted labels.
        class_names: Names in the order of the labels.
    """
    side = min(max(4.5, 0.55 * len(class_names)), 24.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    ConfusionMatrixDisplay.from_predictions(
        truth,
        predicted,
        labels=range(len(class_names)),
        display_labels=class_names,
        cmap="Blues",
        colorbar=False,
        include_values=len(class_names) <= 30,
        xticks_rotation="vertical" if max(map(len, class_names)) > 2 else "horizontal",
        ax=axes,
    )
    axes.set(title=f"{(truth == predicted).mean():.1%} of {len(truth)} test examples are right")
    return figure


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> Figure:
    """Draws how often answers are right against how certain they are.

    Args:
        confidence: float [examples], probability of the predicted class.
        right: bool [examples], whether the prediction was right.
        bins: Number of bins of equal width.
    """
    edges = np.linspace(0, 1, bins + 1)
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    some = counts > 0
    share = np.bincount(index, weights=right, minlength=bins)[some] / counts[some]
    mean = np.bincount(index, weights=confidence, minlength=bins)[some] / counts[some]
    figure = Figure(figsize=(5, 5.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot([0, 1], [0, 1], color="tab:gray", linestyle="--", label="perfectly calibrated")
    top.plot(mean, share, marker="o", color="tab:blue", label="model")
    top.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    top.legend(frameon=False)
    top.grid(alpha=0.3)
    bottom.bar(edges[:-1], counts, width=1 / bins, align="edge", color="tab:blue", alpha=0.6)
    bottom.set(xlabel="probability of the predicted class", ylabel="examples")
    figure.suptitle(f"Reliability on {len(confidence)} test examples")
    return figure


def image_grid(images: Sequence[np.ndarray], captions: Sequence[str], *, title: str) -> Figure:
    """Draws images in rows of eight, each under its caption.

    Args:
        images: uint8 [height, width, channels] each, one or three channels.
        captions: One per image.
        title: What they have in common.
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


def picture_rows(
    rows: Mapping[str, Sequence[np.ndarray] | np.ndarray],
    captions: Sequence[str],
    *,
    legend: Mapping[str, np.ndarray],
    title: str,
) -> Figure:
    """Draws rows of pictures, so that what belongs together stands in one column.

    Args:
        rows: Pictures of each row by its name, uint8 [height, width, 1 or 3] each, of one size.
        captions: One per column.
        legend: Colours by what they stand for, uint8 [3] each.
        title: What all have in common.
    """
    height, width = next(iter(rows.values()))[0].shape[:2]
    figure = Figure(
        figsize=(0.4 + 1.6 * len(captions), 1 + 1.65 * height / width * len(rows)),
        layout="constrained",
    )
    figure.suptitle(title)
    panels = figure.subplots(len(rows), len(captions), squeeze=False)
    for line, (name, pictures) in zip(panels, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for axes, picture in zip(line, pictures, strict=True):
            axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
    for axes, caption in zip(panels[0], captions, strict=True):
        axes.set_title(caption, fontsize=9)
    figure.legend(
        handles=[Patch(color=tuple(colour / 255), label=name) for name, colour in legend.items()],
        loc="outside lower center",
        ncols=min(max(len(legend), 1), 2 * len(captions)),
        frameon=False,
    )
    return figure


def shares(counts: np.ndarray, class_names: Sequence[str], *, title: str) -> Figure:
    """Draws which share of each true class was taken for each class.

    Args:
        counts: int [classes, classes], a row for each true class; empty rows stay empty.
        class_names: In the order of the classes.
        title: What was counted.
    """
    side = min(max(4.5, 0.55 * len(class_names) + 1), 24.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    ConfusionMatrixDisplay(
        counts / np.maximum(counts.sum(1, keepdims=True), 1), display_labels=class_names
    ).plot(
        cmap="Blues",
        colorbar=False,
        include_values=len(class_names) <= 30,
        values_format=".2f",
        xticks_rotation="vertical" if max(map(len, class_names)) > 2 else "horizontal",
        im_kw={"vmin": 0, "vmax": 1},
        ax=axes,
    )
    axes.set(title=title)
    return figure


def bars(values: Mapping[str, float], *, x_label: str, title: str, largest: float = 1.0) -> Figure:
    """Draws a number from 0 to `largest` for each name as a horizontal bar, in the given order."""
    figure = Figure(figsize=(6, 1.2 + 0.3 * len(values)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.barh(list(values), np.nan_to_num(list(values.values())), color="tab:blue")
    axes.bar_label(drawn, [f"{value:.3f}" for value in values.values()], padding=3, fontsize=9)
    ticks = np.linspace(0, largest, 6)
    axes.set(xlabel=x_label, xlim=(0, 1.12 * largest), xticks=ticks, title=title)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def lines(
    series: Mapping[str, Sequence[float]], *, x_label: str, y_label: str, title: str
) -> Figure:
    """Draws values over 0, 1, 2, …, a line for each name."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in series.items():
        axes.plot(range(len(values)), values, marker="o", label=name)
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    axes.set_xticks(range(max(map(len, series.values()))))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
