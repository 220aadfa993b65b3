"""Whether the texts of a figure lie within it and apart from each other."""

from __future__ import annotations

import numpy as np
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pipelines import style

# Pixels that boxes may lie over each other or outside: their own margins.
_SLACK = 2.0


def check(figure: Figure) -> Figure:
    """Returns a figure whose texts are within its canvas and do not overlap.

    Raises:
        AssertionError: Texts are cut, or overlap.
    """
    found = _boxes(figure)
    assert found, "the figure has no text"
    texts, boxes = zip(*found, strict=True)
    low, high = (np.array([getattr(box, corner) for box in boxes]) for corner in ("min", "max"))
    outside = np.maximum(-low, high - figure.bbox.size).max(1)
    cut = [texts[index] for index in np.flatnonzero(outside > _SLACK)]
    assert not cut, f"cut: {cut[:5]}"
    # How many pixels two boxes lie over each other, in the direction where it is less.
    over = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    pairs = np.argwhere(np.triu(over.min(-1) > _SLACK, 1))
    assert not len(pairs), f"over each other: {[(texts[i], texts[j]) for i, j in pairs[:5]]}"
    return figure


def _boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Returns the texts that are drawn, with their boxes in pixels."""
    figure.set_dpi(style.DPI)
    canvas = FigureCanvasAgg(figure)
    with style.quiet():
        figure.draw_without_rendering()
    renderer = canvas.get_renderer()
    hidden = {id(text) for text in _not_drawn(figure)}
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if isinstance(text, Text)
        and text.get_visible()
        and text.get_text().strip()
        and id(text) not in hidden
    ]


def _not_drawn(figure: Figure) -> list[Text]:
    """Returns the labels of ticks that lie outside of their axes, or whose axes are off."""
    texts: list[Text] = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            place = axis.get_transform().transform
            low, high = np.sort(place(np.array(axis.get_view_interval())))
            margin = 1e-6 * (high - low)
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                at = place(np.array([tick.get_loc()]))[0]
                if not axes.axison or not low - margin <= at <= high + margin:
                    texts += _labels(tick)
            if not axes.axison:
                texts += [axis.label, axis.get_offset_text()]
    return texts


def _labels(tick: Tick) -> list[Text]:
    return [tick.label1, tick.label2]
