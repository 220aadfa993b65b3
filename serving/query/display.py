"""Answers of models as tables and figures."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from serving.errors import UserError
from serving.query import pictures

_MAX_NUMBERS, _MAX_STRINGS, _MAX_ROWS = 8, 32, 3


@dataclass(frozen=True)
class Answer:
    """A model's answer to one example.

    Attributes:
        source: Path of the image file, or the text.
        outputs: The signature's outputs, without the batch dimension.
        truth: The true class, where images come as a folder CLASS/IMAGE; else empty.
        converted: Format of a file that was sent as PNG instead; empty where it was sent as it is.
    """

    source: str
    outputs: dict[str, np.ndarray]
    truth: str = ""
    converted: str = ""

    @property
    def classifies(self) -> bool:
        """Whether the outputs are a class and the probabilities of all classes."""
        return (
            {"classes", "probabilities"} <= self.outputs.keys()
            and self.outputs["classes"].shape == ()
            and self.outputs["probabilities"].ndim == 1
        )

    @property
    def captions(self) -> bool:
        """Whether the outputs are a caption and its score, with others or without."""
        return {"caption", "score"} <= self.outputs.keys() and self.outputs[
            "caption"
        ].shape == self.outputs["score"].shape == ()

    @property
    def overlays(self) -> bool:
        """Whether an output is the image with its mask on it, as an encoded picture."""
        overlay = self.outputs.get("overlay_bytes")
        return overlay is not None and overlay.shape == ()

    @property
    def predicted(self) -> str:
        """The predicted class."""
        return readable(self.outputs["classes"])

    @property
    def probability(self) -> float:
        """The largest probability."""
        return float(self.outputs["probabilities"].max())


def table(answers: Sequence[Answer], source: str) -> Table:
    """Returns a table with a row for each answer: class and probability, caption and score, or else
    all outputs.

    Args:
        answers: At least one.
        source: Header of the first column: "image" or "text".
    """
    columns = [source]
    short = all(answer.classifies for answer in answers)
    names = list(answers[0].outputs)
    if all(answer.captions for answer in answers):
        names = ["caption", "score"]
    columns += ["answer", "probability"] if short else names
    with_truth = any(answer.truth for answer in answers)
    result = Table()
    for header in [*columns, *(["truth"] if with_truth else [])]:
        # A narrow terminal folds long paths: cut, those of a folder would look alike.
        result.add_column(header, overflow="fold")
    for answer in answers:
        cells = (
            [answer.predicted, f"{answer.probability:.4f}"]
            if short
            else [readable(answer.outputs[name]) for name in names]
        )
        row = [answer.source, *cells, *([answer.truth] if with_truth else [])]
        result.add_row(*(Text(cell) for cell in row))  # In a Text, brackets are no markup.
    return result


def conversions(answers: Sequence[Answer]) -> str:
    """Returns a sentence about files that were sent as PNG instead; empty where none was."""
    kinds = Counter(answer.converted for answer in answers if answer.converted)
    if not kinds:
        return ""
    numbers = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    return f"converted to PNG, as models take it: {numbers}"


def readable(array: np.ndarray) -> str:
    """Returns a few values as text; otherwise dtype and shape.

    A few are a vector of 8 numbers or of 32 strings, or 3 such rows. Empty strings at the end of a
    vector, which pad it, are left out.
    """
    strings = array.dtype == object
    rows = array if array.ndim == 2 else array.reshape(1, -1)
    longest = _MAX_STRINGS if strings else _MAX_NUMBERS
    if array.ndim > 2 or len(rows) > _MAX_ROWS or rows.shape[1] > longest:
        return f"{'string' if strings else array.dtype.name} {list(array.shape)}"
    return "; ".join(_listed(row.tolist()) for row in rows)


def figure(answers: Sequence[Answer], title: str, target: Path) -> None:
    """Plots the images with their answers, and the true class where it is known, as a PNG file.

    Raises:
        UserError: The answers are neither classes with probabilities, nor captions, nor masks with
            an overlay, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    with_captions = all(answer.captions for answer in answers)
    with_overlays = all(answer.overlays for answer in answers)
    if not (with_captions or with_overlays or all(answer.classifies for answer in answers)):
        names = ", ".join(sorted(answers[0].outputs))
        raise UserError(
            "a figure shows classes and probabilities, captions, or the overlay_bytes of a mask; "
            f"the model answers {names}"
        )
    # A caption takes the room of two classes, and so does an image beside its overlay.
    wide = with_captions or with_overlays
    columns = min(len(answers), 4 if wide else 8)
    width, height = (3.2, 3.6 if with_captions else 1.95) if wide else (1.6, 1.95)
    rows = -(-len(answers) // columns)
    size = (max(width * columns, 4), height * rows + 0.4)
    drawing = Figure(figsize=size, layout="constrained")
    drawing.suptitle(title)
    panels = list(drawing.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, answer in zip(panels, answers, strict=False):
        shown = pictures.shown(Path(answer.source))
        if with_overlays:
            shown = pictures.beside(shown, answer.outputs["overlay_bytes"].item())
        axes.imshow(shown, interpolation="nearest")
        if with_overlays:
            axes.set_title(Path(answer.source).name, fontsize=10)
            continue
        if with_captions:
            said = readable(answer.outputs["caption"]).replace("$", r"\$")
            axes.set_title(textwrap.fill(said, 40), fontsize=10)
            continue
        caption = f"{answer.predicted}  {answer.probability:.2f}"
        wrong = answer.truth not in ("", answer.predicted)
        if answer.truth:
            caption += f"\ntrue {answer.truth}"
        axes.set_title(caption, fontsize=10, color="tab:red" if wrong else "black")
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(partial, dpi=120, format="png")
        partial.replace(target)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error}") from error


def _listed(values: list[object]) -> str:
    while len(values) > 1 and values[-1] == b"":
        values.pop()
    return ", ".join(_readable(value) for value in values)


def _readable(value: object) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return f"{len(value):,} bytes"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
