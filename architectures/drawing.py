"""Drawing of a model's graph as an SVG file.

Layers are drawn in one column, in the order in which they are computed. A straight line connects
neighboring layers; an arc connects layers further apart, as in residual connections.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path

import keras

_WIDTH, _HEIGHT, _GAP, _LEFT = 420, 34, 16, 20
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
    """Writes the graph of a Functional model as an SVG file, atomically.

    Args:
        model: The model.
        target: The file to write.
    """
    layers = list(model.layers)
    rows = {layer.name: row for row, layer in enumerate(layers)}
    edges = [edge for layer in layers for edge in _edges(layer, rows)]
    reach = max((_bend(end - start) for start, end in edges), default=0)
    height = len(layers) * (_HEIGHT + _GAP) + _GAP + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + reach + 20}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="bold">{escape(model.name)}: '
        f"{model.count_params():,} parameters</text>",
        *(_line(start, end) for start, end in edges),
        *(_box(row, layer) for row, layer in enumerate(layers)),
        "</svg>",
    ]
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text("\n".join(parts), encoding="utf-8")
    os.replace(partial, target)


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
    """Returns how far to the right an arc over `rows` rows extends, in pixels."""
    return 0 if rows == 1 else min(20 + 9 * rows, 320)


def _line(start: int, end: int) -> str:
    style = 'fill="none" stroke="#555" stroke-width="1.3"'
    if end == start + 1:
        x = _LEFT + _WIDTH // 2
        return f'<path d="M{x},{_top(start) + _HEIGHT} V{_top(end)}" {style}/>'
    x, bend = _LEFT + _WIDTH, _bend(end - start)
    y1, y2 = _top(start) + _HEIGHT // 2, _top(end) + _HEIGHT // 2
    return f'<path d="M{x},{y1} C{x + bend},{y1} {x + bend},{y2} {x},{y2}" {style}/>'


def _box(row: int, layer: keras.Layer) -> str:
    kind = type(layer).__name__
    color = next((c for word, c in _COLORS.items() if word in kind), "#f4f4f4")
    y, left, right = _top(row), _LEFT + 8, _LEFT + _WIDTH - 8
    count = f"{layer.count_params():,} parameters" if layer.weights else ""
    return (
        f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" '
        f'fill="{color}" stroke="#999"/>'
        f'<text x="{left}" y="{y + 15}" font-weight="bold">{escape(layer.name)}</text>'
        f'<text x="{left}" y="{y + 29}" fill="#555">{escape(kind.lstrip("_"))}</text>'
        f'<text x="{right}" y="{y + 15}" text-anchor="end">{escape(_shape(layer))}</text>'
        f'<text x="{right}" y="{y + 29}" fill="#555" text-anchor="end">{count}</text>'
    )


def _shape(layer: keras.Layer) -> str:
    tensors = keras.tree.flatten(layer.output)
    sides = ("?" if side is None else str(side) for side in tensors[0].shape[1:])
    return "×".join(sides) + ("" if len(tensors) == 1 else f" and {len(tensors) - 1} more")
