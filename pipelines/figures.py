"""Pictures of a run, as matplotlib figures that MLflow shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
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
