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

_MAX_VALUES = 8


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
    """Returns up to 8 values of a vector or a number as text; otherwise dtype and shape."""
    if array.size > _MAX_VALUES or array.ndim > 1:
        name = "string" if array.dtype == object else array.dtype.name
        return f"{name} {list(array.shape)}"
    return ", ".join(_readable(value) for value in array.ravel().tolist())


def figure(answers: Sequence[Answer], title: str, target: Path) -> None:
    """Plots the images with their answers, and the true class where it is known, as a PNG file.

    Raises:
        UserError: The answers are neither classes with probabilities nor captions, or the file
            cannot be written.
    """
    from matplotlib.figure import Figure

    with_captions = all(answer.captions for answer in answers)
    if not with_captions and not all(answer.classifies for answer in answers):
        names = ", ".join(sorted(answers[0].outputs))
        raise UserError(
            f"a figure shows classes and probabilities, or captions; the model answers {names}"
        )
    # A caption takes the room of two classes.
    columns = min(len(answers), 4 if with_captions else 8)
    width, height = (3.2, 3.6) if with_captions else (1.6, 1.95)
    rows = -(-len(answers) // columns)
    size = (max(width * columns, 4), height * rows + 0.4)
    drawing = Figure(figsize=size, layout="constrained")
    drawing.suptitle(title)
    panels = list(drawing.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, answer in zip(panels, answers, strict=False):
        axes.imshow(pictures.shown(Path(answer.source)), interpolation="nearest")
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


def _readable(value: object) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return f"{len(value):,} bytes"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
