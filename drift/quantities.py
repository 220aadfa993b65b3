"""Quantities of requests and answers: of each example a number or a category.

Images have brightness, contrast and, as files, width and height; texts a length and the rate of
words that were rare in training; probabilities the confidence in the most probable class; other
numbers themselves or, where an example has many, mean and deviation.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np
from PIL import Image

# By quantity, float64 [examples], or str [examples] for a category.
Values = dict[str, np.ndarray]

_IMAGE_FILE = re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|BM")
_WORD = re.compile(r"[^\W\d_]+")
# Brightness and contrast are those of a thumbnail, so that images of any size compare.
_THUMBNAIL = (64, 64)
_MAX_COLUMNS = 16
_MAX_CATEGORY_LENGTH = 60
# Both sides are rounded, so that what does not change stays equal.
_DIGITS = 6


def measure(
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    words: Collection[str] = (),
) -> Values:
    """Returns the quantities of a batch, as "input images: brightness" and "answer classes".

    Args:
        inputs: Arrays [batch, …] by name; strings are bytes.
        outputs: The same; those without the batch's dimension are left out.
        words: Those that are not rare, as `frequent_words` returns them; none to measure none.
    """
    rows = min((len(x) for x in inputs.values() if x.ndim), default=0)
    return {
        f"{group} {name}{': ' if what else ''}{what}": _rounded(values)
        for group, arrays in (("input", inputs), ("answer", outputs))
        for name, array in sorted(arrays.items())
        if array.ndim and len(array) == rows
        for what, values in _measured(array, words, features=group == "input").items()
    }


def frequent_words(texts: Iterable[str], most: int) -> list[str]:
    """Returns the most frequent words of texts, in lower case; none that occurs only once."""
    counts = Counter(word for text in texts for word in _words(text))
    return [word for word, count in counts.most_common(most) if count > 1]


def is_image_file(content: bytes) -> bool:
    """Whether bytes begin as a PNG, JPEG, GIF or BMP file."""
    return bool(_IMAGE_FILE.match(content))


def _measured(array: np.ndarray, words: Collection[str], *, features: bool) -> Values:
    kind = array.dtype.kind
    if kind in "OS" and array.ndim == 1:
        if len(array) and all(map(is_image_file, array)):
            return _columns(
                [_of_file(content) for content in array],
                ("brightness", "contrast", "width", "height"),
            )
        return _of_texts([text.decode(errors="replace") for text in array.tolist()], words)
    if kind in "OS":
        return {"entries": np.array([np.count_nonzero(row != b"") for row in array], float)}
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] in (1, 3, 4):
        images = (Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in array)
        return _columns([_light(image) for image in images], ("brightness", "contrast"))
    if kind not in "biuf":
        return {}
    return _of_numbers(array.astype(np.float64), kind, features=features)


def _of_texts(texts: list[str], words: Collection[str]) -> Values:
    found = {
        "": np.array([text[:_MAX_CATEGORY_LENGTH] for text in texts], object),
        "characters": np.array([len(text) for text in texts], float),
    }
    if words:
        known = frozenset(words)
        own = [_words(text) for text in texts]
        found["rare words"] = np.array(
            [sum(w not in known for w in row) / len(row) if row else math.nan for row in own]
        )
    return found


def _of_numbers(array: np.ndarray, kind: str, *, features: bool) -> Values:
    """Returns the quantities of numbers; `features` says that few columns are one feature each."""
    if array.ndim == 1:
        return {"": array}
    if kind in "biu":
        return {"not zero": np.count_nonzero(array.reshape(len(array), -1), axis=1).astype(float)}
    if _are_probabilities(array):
        best = array.max(-1)
        return {"confidence": best.reshape(len(best), -1).mean(1)}
    if array.ndim == 2 and not (features and array.shape[1] <= _MAX_COLUMNS):
        rows = [_without_padding(row) for row in array]
        return _columns([(row.mean(), row.std()) for row in rows], ("mean", "deviation"))
    columns = array.reshape(len(array), -1, array.shape[-1]).mean(1)
    if columns.shape[1] > _MAX_COLUMNS:
        return {"mean": columns.mean(1)}
    return {f"column {i}": column for i, column in enumerate(columns.T)}


def _are_probabilities(array: np.ndarray) -> bool:
    return bool(
        array.shape[-1] > 1
        and array.size
        and (array >= 0).all()
        and np.allclose(array.sum(-1), 1, atol=1e-3)
    )


def _without_padding(row: np.ndarray) -> np.ndarray:
    """Returns a row up to its last number that is not zero; the whole one if there is none."""
    there = np.flatnonzero(row)
    return row[: there[-1] + 1] if len(there) else row


def _of_file(content: bytes) -> tuple[float, ...]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            image.draft("RGB", _THUMBNAIL)  # Decodes JPEG at a fraction of its size.
            return (*_light(image), width, height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return (math.nan,) * 4


def _light(image: Image.Image) -> tuple[float, float]:
    """Returns mean and standard deviation of the luminance, from 0 to 1; on white."""
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L")
    image.thumbnail(_THUMBNAIL)
    pixels = np.asarray(image, np.float64) / 255
    return pixels.mean(), pixels.std()


def _columns(rows: list[tuple[float, ...]], names: tuple[str, ...]) -> Values:
    return dict(zip(names, np.array(rows, np.float64).reshape(-1, len(names)).T, strict=True))


def _words(text: str) -> list[str]:
    return [match.group().lower() for match in _WORD.finditer(text)]


def _rounded(values: np.ndarray) -> np.ndarray:
    """Returns numbers with six significant digits; categories as they are."""
    if values.dtype == object:
        return values
    return np.array([float(f"{value:.{_DIGITS}g}") for value in values], np.float64)
