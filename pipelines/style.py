"""The look of all figures: lines and fonts, colors by meaning, and texts that fit their place.

Colors are those of Okabe & Ito, "Color Universal Design", 2008, which color-blind people can tell
apart.
"""

from __future__ import annotations

import functools
import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, MaxNLocator

NETWORK, BASELINE, TRUTH, OTHER = "#0072B2", "#E69F00", "#000000", "#7F7F7F"
RIGHT, WRONG, MISSED = "#009E73", "#D55E00", "#56B4E9"
# Of what has no meaning of its own, as classes.
COLORS = (NETWORK, BASELINE, RIGHT, "#CC79A7", MISSED, WRONG, "#B8A900", "#4D4D4D")
MARKERS = "o^sDvPX*"

# The font that Matplotlib brings along, and for scripts that it lacks what the machine has.
_FONTS = (
    *(
        "DejaVu Sans",
        "Noto Sans CJK JP",
        "Noto Sans CJK SC",
        "Source Han Sans",
        "WenQuanYi Zen Hei",
    ),
    *("Hiragino Sans", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Bengali", "Noto Sans Tamil"),
)
_HAS = {*font_manager.get_font_names()}
# Pixels an inch of figures in a run.
DPI = 120
STYLE: Any = {
    "figure.dpi": DPI,
    "font.family": [name for name in _FONTS if name in _HAS],
    "font.size": 10,
    # Texts come from data, where a dollar is a dollar.
    "text.parse_math": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 6),
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.titlesize": 12,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "image.cmap": "Blues",
}
P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Makes a function draw in this style; the layout is computed once, not when it is saved."""

    @functools.wraps(draw)
    def within(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE), quiet():
            figure = draw(*args, **kwargs)
            if layout := figure.get_layout_engine():
                FigureCanvasAgg(figure)
                layout.execute(figure)
                figure.set_layout_engine(None)
        return figure

    return within


def png(figure: Figure) -> bytes:
    """Returns a figure as the content of a PNG file."""
    file = io.BytesIO()
    with quiet():
        figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves out warnings of letters that no font has, which become boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s)Glyph \d+ .*missing from font")
        yield


def page(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns an empty figure whose coordinates are inches from its upper left corner."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def title(figure: Figure, text: str) -> None:
    """Writes a title on top of a figure, in as many lines as it takes, from the left."""
    lines = wrapped(text, figure.get_size_inches()[0] - 0.3, size=12)
    figure.suptitle("\n".join(lines), x=0.1 / figure.get_size_inches()[0], ha="left")


def heading(axes: Axes, text: str) -> None:
    """Writes a title on top of a page, in one line."""
    width = axes.get_xlim()[1]
    axes.text(0.1, 0.3, shortened(text, width - 0.2, 12), size=12, va="center")


def picture(
    axes: Axes,
    image: np.ndarray,
    place: tuple[float, float],
    room: tuple[float, float],
    **how: Any,
) -> None:
    """Draws an image on a page, as large as there is room.

    Args:
        axes: Those of a page.
        image: uint8 [height, width, 1 or 3], or numbers [height, width] with a color map.
        place: The upper left corner in inches.
        room: (width, height) in inches.
        **how: Options of `imshow`.
    """
    height, width = image.shape[:2]
    scale, (left, top) = min(room[0] / width, room[1] / height), place
    extent = (left, left + scale * width, top + scale * height, top)
    options = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest", **how}
    axes.imshow(image.squeeze(), extent=extent, aspect="auto", **options)


def directed(name: str, greater_is_better: bool, *, axis: str = "y") -> str:
    """Returns the name of a score and which values are better, with an arrow along an axis."""
    arrow = {"y": "↓↑", "x": "←→"}[axis][greater_is_better]
    return f"{name} ({arrow} {'higher' if greater_is_better else 'lower'} is better)"


def whole_numbers(axis: Axis, steps: int = 8) -> None:
    """Gives an axis ticks at whole numbers alone."""
    axis.set_major_locator(MaxNLocator(steps, integer=True, min_n_ticks=1))


def dates(axis: Axis, times: np.ndarray) -> None:
    """Gives an axis of dates ticks that do not repeat what they share; one of numbers stays."""
    if np.issubdtype(times.dtype, np.datetime64):
        locator = AutoDateLocator(minticks=2, maxticks=5)
        axis.set_major_locator(locator)
        axis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axis.set_major_locator(MaxNLocator(3, integer=np.issubdtype(times.dtype, np.integer)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))


def powers(axis: Axis) -> None:
    """Writes the ticks of a logarithmic axis as plain numbers."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Returns the width of a line in inches, at a size in points."""
    if not text:
        return 0.0
    with quiet():
        font = FontProperties(family=STYLE["font.family"], size=size, weight=weight)
        # Letters are drawn at whole pixels.
        return 1.05 * text_to_path.get_text_width_height_descent(text, font, False)[0] / 72


def visible(token: str) -> str:
    """Returns a token without spaces around it; one of nothing else, and line ends, by name."""
    return token.strip(" ").replace("\n", "\\n") or "space"


def shortened(text: str, width: float, size: float = 9, weight: str = "normal") -> str:
    """Returns a line that is at most `width` inches wide, cut with an ellipsis."""
    text = " ".join(text.split())
    full = width_of(text, size, weight)
    if full <= width:
        return text
    kept = int(len(text) * width / full)
    while kept > 0 and width_of(cut := f"{text[:kept].rstrip()}…", size, weight) > width:
        kept -= 1
    return cut if kept > 0 else "…"


def wrapped(
    text: str, width: float, *, size: float = 9, lines: int | None = None, weight: str = "normal"
) -> list[str]:
    """Returns a text in lines that are at most `width` inches wide, at least one.

    Args:
        text: A text; a word that is too long is broken.
        width: In inches.
        size: Of the font in points.
        lines: Their number at most; the last one ends in an ellipsis then.
        weight: "normal" or "bold".
    """
    columns = max(4, int(width * 72 / (0.45 * size)))  # Letters are about half as wide as high.
    while True:
        # Of a long text, no more than can be shown.
        part = text[: columns * (lines + 1)] if lines else text
        found = textwrap.wrap(part, columns) or [""]
        if lines and len(found) > lines:
            found = [*found[: lines - 1], shortened(f"{found[lines - 1]} …", width, size, weight)]
        widest = max(width_of(line, size, weight) for line in found)
        if widest <= width or columns <= 4:
            return found
        columns = max(4, min(columns - 1, int(columns * width / widest)))


def thinned(count: int, most: int) -> np.ndarray:
    """Returns at most `most` of the numbers below `count`, at equal distances from 0 on."""
    return np.arange(0, count, max(1, -(-count // max(most, 1))))


def legend_columns(names: Sequence[str], width: float, size: float = 9) -> int:
    """Returns how many names, each with its color beside it, fit into a row of a legend."""
    widest = max((width_of(name, size) for name in names), default=0.0)
    return int(np.clip(width / (widest + 0.75), 1, max(len(names), 1)))
