"""The report: a table, a page in Markdown, and a figure of each quantity on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from drift.comparison import LEVEL, MAX_INDEX, MIN_EXAMPLES, Compared, shares
from serving.watching.request_log import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE, FIGURE = "drift.md", "drift.png"
_ORDER = ("drift", "slight", "too few", "stable")
_HEADINGS = ("quantity", "validation", "requests", "PSI", "p", "verdict")
_COLUMNS, _MAX_PANELS = 4, 24
_MAX_BARS = 12
_BINS = 24
_GRAY, _BLUE, _ORANGE = "#b0b0b0", "#0072b2", "#d55e00"


@dataclass(frozen=True)
class Report:
    """A comparison of requests with a version's reference.

    Attributes:
        model: The model.
        version: The version.
        sample: The requests.
        compared: By signature, its quantities; those that drifted come first.
    """

    model: str
    version: int
    sample: Sample
    compared: Mapping[str, Sequence[Compared]]

    @property
    def every(self) -> list[tuple[str, Compared]]:
        """All quantities with their signatures."""
        return [(signature, one) for signature, found in self.compared.items() for one in found]

    @property
    def drifted(self) -> list[str]:
        """The quantities that drifted, by name, each once."""
        return list(dict.fromkeys(one.name for _, one in self.every if one.verdict == "drift"))

    @property
    def conclusive(self) -> bool:
        """Whether a quantity has enough examples to be judged."""
        return any(one.verdict != "too few" for _, one in self.every)

    def sentence(self) -> str:
        """Returns the result in one sentence."""
        examples = sum(self.sample.examples.values())
        what = f"{self.model} version {self.version}, {examples:,} examples"
        if not self.conclusive:
            return f"{what}: too few to be judged; {MIN_EXAMPLES} are needed, as of validation"
        if not self.drifted:
            return f"{what}: as in validation"
        return f"{what}: drift of {', '.join(self.drifted)}"


def ordered(found: Sequence[Compared]) -> list[Compared]:
    """Returns quantities by verdict, and those that changed most first."""
    return sorted(found, key=lambda one: (_ORDER.index(one.verdict), -one.index))


def table(signature: str, found: Sequence[Compared]) -> Table:
    """Returns the table for the console."""
    result = Table(*_HEADINGS, title=signature)
    for one in found:
        style = {"drift": "bold red", "slight": "yellow"}.get(one.verdict)
        result.add_row(*_row(one), style=style)
    return result


def write(report: Report, folder: Path) -> str:
    """Writes page and figure into a folder, and returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    text = page(report)
    (folder / PAGE).write_text(text, encoding="utf-8")
    draw(report, folder / FIGURE)
    return text


def page(report: Report) -> str:
    """Returns the report in Markdown."""
    sample = report.sample
    lines = [f"# {report.model} version {report.version}: requests and validation", ""]
    lines += [f"**{report.sentence()}.**", ""]
    if sample.first and sample.last:
        span = " to ".join(f"{time:%Y-%m-%d %H:%M}" for time in (sample.first, sample.last))
        lines += [f"Answered {span} UTC; {sample.records:,} requests are in the log.", ""]
    for signature, found in report.compared.items():
        lines += [f"## {signature}", "", f"{sample.examples[signature]:,} examples.", ""]
        lines += [f"| {' | '.join(_HEADINGS)} |", "|---|---|---|---|---|---|"]
        for one in found:
            cells = [cell.replace("|", "\\|") for cell in _row(one)]
            verdict = f"**{one.verdict}**" if one.verdict == "drift" else one.verdict
            lines.append(f"| {' | '.join([*cells[:-1], verdict])} |")
        lines.append("")
    for reason, count in sorted(sample.left_out.items()):
        lines.append(f"- {count:,} requests {reason} are left out.")
    lines += [f"- {sentence}." for sentence in sample.damaged]
    lines += [
        "",
        "Numbers are shown as median [5 % to 95 %], categories by their largest shares. PSI is the "
        "population stability index; p is that of the test of Kolmogorov and Smirnov, or of "
        "chi-squared for categories, times the number of quantities. Drift is a PSI beyond "
        f"{MAX_INDEX:g} with p below {LEVEL:g}; slight is such a p with a smaller PSI.",
        "",
    ]
    return "\n".join(lines)


def _row(one: Compared) -> tuple[str, ...]:
    p = "<0.0001" if one.p < 1e-4 else f"{one.p:.4f}"
    return (
        one.name,
        *map(_summary, (one.reference, one.found)),
        f"{one.index:.3f}",
        p,
        one.verdict,
    )


def _summary(values: np.ndarray) -> str:
    """Returns the median of numbers with an interval of 90 % of them, or the largest shares."""
    if not len(values):
        return "none"
    if values.dtype == object:
        names, counts = np.unique(values.astype(str), return_counts=True)
        largest = np.argsort(-counts, kind="stable")[:3]
        return ", ".join(f"{names[i]} {counts[i] / len(values):.0%}" for i in largest)
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return f"{middle:.4g} [{low:.4g} to {high:.4g}]"


def draw(report: Report, path: Path) -> None:
    """Writes the figure: a panel for each quantity, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    several = len(report.compared) > 1
    shown = sorted(report.every, key=lambda pair: _ORDER.index(pair[1].verdict))[:_MAX_PANELS]
    columns = min(_COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (signature, one) in zip(axes, shown, strict=False):
        _panel(ax, one)
        where = f"\n{signature}" if several else ""
        ax.set_title(f"{one.name}{where}\nPSI {one.index:.2f}, {one.verdict}", fontsize=9)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    left_out = len(report.every) - len(shown)
    more = f" ({left_out} more in {PAGE})" if left_out else ""
    figure.suptitle(f"{report.model} version {report.version}: validation and requests{more}")
    figure.savefig(path, dpi=110)


def _panel(ax: Axes, one: Compared) -> None:
    """Draws the shares of a quantity's values on both sides."""
    from matplotlib.patches import Patch
    from matplotlib.ticker import PercentFormatter

    color = _ORANGE if one.verdict == "drift" else _BLUE
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    if one.reference.dtype == object:
        found = dict(list(shares(one).items())[:_MAX_BARS])
        places = np.arange(len(found))
        for offset, side, shade in ((-0.2, 0, _GRAY), (0.2, 1, color)):
            ax.bar(places + offset, [share[side] for share in found.values()], 0.4, color=shade)
        ax.set_xticks(places, [_short(name) for name in found])
        if any(len(name) > 3 for name in found):
            ax.tick_params(axis="x", rotation=30)
    elif len(one.found):
        both = np.concatenate([one.reference, one.found])
        edges = np.histogram_bin_edges(both, _BINS).tolist()
        for values, shade in ((one.reference, _GRAY), (one.found, color)):
            weights = np.full(len(values), 1 / len(values))
            ax.hist(values, edges, weights=weights, color=shade, alpha=0.75)
    handles = [Patch(color=_GRAY, label="validation"), Patch(color=color, label="requests")]
    ax.legend(handles=handles, fontsize=7, frameon=False)


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"
