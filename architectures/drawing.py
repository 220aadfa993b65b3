"""Drawing of a model's graph.

Layers are drawn in one column, in the order in which they are computed. A straight line connects
neighboring layers; an arc connects layers further apart, as in residual connections.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import keras
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as MplPath

_WIDTH, _HEIGHT, _GAP, _LEFT = 420, 34, 16, 20
_MAX_PIXELS = 60_000  # Of the height of a bitmap.
_COLORS = {
    "Input": "#e8eef7",
    "Conv": "#dbe9d8",
    "Dense": "#f5e6c8",
    "Embedding": "#f5e6c8",
    "Pool": "#f3d9d5",
    "Attention": "#e6dcf0",
    "RNN": "#e6dcf0",
    "LSTM": "#e6dcf0",
    "GRU": "#e6dcf0",
}


def draw(model: keras.Model, target: Path) -> None:
    """Writes the graph of a Functional model as a picture, atomically.

    Args:
        model: The model.
        target: The file to write, in the format of its ending, such as .svg, .png or .pdf.
    """
    layers = list(model.layers)
    rows = {layer.name: row for row, layer in enumerate(layers)}
    edges = [edge for layer in layers for edge in _edges(layer, rows)]
    reach = max((_bend(end - start) for start, end in edges), default=0)
    width = _LEFT + _WIDTH + reach + 20
    height = len(layers) * (_HEIGHT + _GAP) + _GAP + 30
    figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
    # One unit is a point, from the top down.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    title = f"{model.name}: {model.count_params():,} parameters"
    axes.text(_LEFT, 22, title, fontsize=13, fontweight="bold")
    for start, end in edges:
        axes.add_patch(_line(start, end))
    for row, layer in enumerate(layers):
        _draw_box(axes, row, layer)
    partial = target.with_name(f".{target.name}.partial")
    # Twice the points in pixels, as far as a bitmap can be as high.
    dpi = min(144, _MAX_PIXELS * 72 / height)
    try:
        # Words stay words in a vector file.
        with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
            figure.savefig(partial, format=target.suffix[1:].lower(), dpi=dpi)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _edges(layer: keras.Layer, rows: dict[str, int]) -> Iterator[tuple[int, int]]:
    """Yields (row of the input layer, row of the layer) for each input of the layer."""
    sources = {
        parent.operation.name
        for node in layer._inbound_nodes
        for parent in node.parent_nodes
        if parent.operation.name in rows
    }
    for name in sorted(sources, key=lambda name: rows[name]):
        if rows[name] < rows[layer.name]:
            yield rows[name], rows[layer.name]


def _top(row: int) -> int:
    return 30 + _GAP + row * (_HEIGHT + _GAP)


def _bend(rows: int) -> int:
    """Returns how far to the right an arc over `rows` rows extends, in points."""
    return 0 if rows == 1 else min(20 + 9 * rows, 320)


def _line(start: int, end: int) -> PathPatch:
    path: list[tuple[float, float]]
    if end == start + 1:
        x = _LEFT + _WIDTH / 2
        path = [(x, _top(start) + _HEIGHT), (x, _top(end))]
        codes = [MplPath.MOVETO, MplPath.LINETO]
    else:
        x, bend = _LEFT + _WIDTH, _bend(end - start)
        y1, y2 = _top(start) + _HEIGHT / 2, _top(end) + _HEIGHT / 2
        path = [(x, y1), (x + bend, y1), (x + bend, y2), (x, y2)]
        codes = [MplPath.MOVETO, *[MplPath.CURVE4] * 3]
    return PathPatch(MplPath(path, codes), fill=False, edgecolor="#555", linewidth=1.3)


def _draw_box(axes: Axes, row: int, layer: keras.Layer) -> None:
    kind = type(layer).__name__
    color = next((c for word, c in _COLORS.items() if word in kind), "#f4f4f4")
    y, left, right = _top(row), _LEFT + 8, _LEFT + _WIDTH - 8
    count = f"{layer.count_params():,} parameters" if layer.weights else ""
    axes.add_patch(Rectangle((_LEFT, y), _WIDTH, _HEIGHT, facecolor=color, edgecolor="#999"))
    axes.text(left, y + 14, layer.name, fontsize=10, fontweight="bold")
    axes.text(left, y + 28, kind.lstrip("_"), fontsize=10, color="#555")
    axes.text(right, y + 14, _shape(layer), fontsize=10, horizontalalignment="right")
    axes.text(right, y + 28, count, fontsize=10, color="#555", horizontalalignment="right")


def _shape(layer: keras.Layer) -> str:
    tensors = keras.tree.flatten(layer.output)
    sides = ("?" if side is None else str(side) for side in tensors[0].shape[1:])
    return "×".join(sides) + ("" if len(tensors) == 1 else f" and {len(tensors) - 1} more")
