"""Ask a served image model about image files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from serving.client import Client
from serving.errors import UserError

SIGNATURE = "image_bytes"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp"}


@dataclass(frozen=True)
class Answer:
    """What the model says about an image.

    Attributes:
        path: The image file.
        predicted: The most probable class.
        probability: Its probability.
        truth: Name of the folder, where images were given as a folder CLASS/IMAGE; else empty.
    """

    path: Path
    predicted: str
    probability: float
    truth: str


def images(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Returns image files with their true class, as far as it is known.

    Args:
        paths: Image files, and folders laid out as CLASS/IMAGE.

    Raises:
        UserError: A path is missing, no image file, or a folder without images.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                (p for p in path.glob("*/*") if p.is_file() and p.suffix.lower() in _SUFFIXES),
                key=lambda p: (p.stem.zfill(12), p.parent.name),
            )
            if not inside:
                raise UserError(f"{path} holds no images as CLASS/IMAGE")
            found += [(p, unquote(p.parent.name)) for p in inside]
        elif not path.exists():
            raise UserError(f"there is no file {path}")
        elif path.suffix.lower() not in _SUFFIXES:
            raise UserError(f"{path} is no image file; known are: {', '.join(sorted(_SUFFIXES))}")
        else:
            found.append((path, ""))
    return found


def ask(
    client: Client, model: str, files: Sequence[tuple[Path, str]], version: int | None = None
) -> list[Answer]:
    """Sends the files as they are to the model's `image_bytes` signature, in one request.

    Raises:
        ServingError: The server refused, failed, or could not be reached.
        UserError: The model does not answer with classes and their probabilities.
    """
    encoded = np.array([path.read_bytes() for path, _ in files], object)
    outputs = client.predict(model, {SIGNATURE: encoded}, signature=SIGNATURE, version=version)
    if not {"classes", "probabilities"} <= outputs.keys():
        raise UserError(
            f"{model} answers {', '.join(sorted(outputs))}, not classes and probabilities"
        )
    return [
        Answer(path, name.decode(), float(chances.max()), truth)
        for (path, truth), name, chances in zip(
            files, outputs["classes"], outputs["probabilities"], strict=True
        )
    ]


def picture(answers: Sequence[Answer], title: str, target: Path) -> None:
    """Draws the images with the answers, and the truth where it is known, as a PNG file."""
    from matplotlib.figure import Figure
    from PIL import Image

    columns = min(len(answers), 8)
    rows = -(-len(answers) // columns)
    figure = Figure(figsize=(max(1.6 * columns, 4), 1.95 * rows + 0.4), layout="constrained")
    figure.suptitle(title)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, answer in zip(panels, answers, strict=False):
        with Image.open(answer.path) as image:
            axes.imshow(image.convert("RGB"), interpolation="nearest")
        caption = f"{answer.predicted}  {answer.probability:.2f}"
        wrong = answer.truth not in ("", answer.predicted)
        if answer.truth:
            caption += f"\ntrue {answer.truth}"
        axes.set_title(caption, fontsize=10, color="tab:red" if wrong else "black")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    figure.savefig(partial, dpi=120, format="png")
    partial.replace(target)
