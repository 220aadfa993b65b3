"""A user's own masks: files whose pixels are numbers of classes.

The number is the value of a gray pixel, or the index in a palette, whatever its color.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipelines.image.files import in_threads
from pipelines.image.splits import relative
from pipelines.tasks.image_segmentation.classes import IGNORE_ID, Occurrences

_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TGA", "TIFF", "WEBP")
# Pillow spreads gray of 2 and 4 bits over the range of a byte.
_SPREAD = {2: 85, 4: 17}
_COLORS_NAMED = 4


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask that can be read.

    Attributes:
        name: The path of the file, as text.
        digest: SHA-256 of its content, hexadecimal.
        height: Pixels from top to bottom, after EXIF orientation.
        width: Pixels from left to right.
        values: The values that occur, ascending, uint8 [values].
        pixels: Number of pixels with each of them, int64 [values].
        colors: Of a mask with a palette, the color of each value that occurs.
    """

    name: str
    digest: str
    height: int
    width: int
    values: np.ndarray
    pixels: np.ndarray
    colors: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.name)


def scan(paths: Sequence[Path]) -> list[MaskFile | str]:
    """Reads masks in threads.

    Returns:
        For each path the mask, or what is wrong with it, as "is empty".
    """
    return list(in_threads(_scanned, paths))


def values(path: Path) -> np.ndarray:
    """Reads a mask to its values, uint8 [height, width].

    Raises:
        ValueError: Says what is wrong.
    """
    return _values(path.read_bytes())[0]


def occurrences(masks: Iterable[MaskFile], base: Path) -> Occurrences:
    """Counts the values of masks, whose places are told as seen from the folder `base`."""
    pixels, number = np.zeros(256, np.int64), np.zeros(256, np.int64)
    places, beside_void = dict[int, str](), set[int]()
    for mask in masks:
        pixels[mask.values] += mask.pixels
        number[mask.values] += 1
        name = relative(mask.path, base)
        found = mask.values.tolist()
        for value in found:
            places.setdefault(value, name)
        if IGNORE_ID in found:
            beside_void |= {value for value in found if value not in (0, IGNORE_ID)}
    return Occurrences(pixels, number, places, frozenset(beside_void))


def different_palettes(masks: Iterable[MaskFile]) -> list[str]:
    """Returns a note if a value has different colors in the palettes of masks."""
    seen: dict[int, tuple[tuple[int, ...], Path]] = {}
    for mask in masks:
        for value, color in mask.colors.items():
            first, path = seen.setdefault(value, (color, mask.path))
            if first != color:
                return [
                    f"the palettes of masks differ: value {value} is {_rgb(first)} in {path} and "
                    f"{_rgb(color)} in {mask.path}; classes are the values, whatever their color"
                ]
    return []


def _scanned(path: Path) -> MaskFile | str:
    try:
        content = path.read_bytes()
        mask, colors = _values(content)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    pixels = np.bincount(mask.ravel(), minlength=256)
    occurring = np.flatnonzero(pixels).astype(np.uint8)
    found = {value: color for value, color in colors.items() if pixels[value]}
    digest = hashlib.sha256(content).hexdigest()
    height, width = mask.shape
    return MaskFile(str(path), digest, height, width, occurring, pixels[occurring], found)


def _values(content: bytes) -> tuple[np.ndarray, dict[int, tuple[int, ...]]]:
    """Returns the values of a mask, uint8 [height, width], and the colors of its palette."""
    if not content:
        raise ValueError("is empty")
    if content[12:16] == b"VP8 ":
        raise ValueError("is WebP with loss, which changes values; masks are best PNG files")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if "jpeg" in (str(image.format).lower(), image.info.get("compression")):
                raise ValueError("is JPEG, which changes values; masks are best PNG files")
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Image.UnidentifiedImageError:
        raise ValueError(f"is no image: it begins with {content[:16]!r}") from None
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they stumble over.
        raise ValueError(f"is damaged: {error}") from error
    if upright.mode == "P":
        flat = upright.getpalette("RGB") or []
        colors = {i: tuple(flat[3 * i : 3 * i + 3]) for i in range(len(flat) // 3)}
        return np.asarray(upright), colors
    mask = _gray(np.asarray(upright), upright.mode)
    is_gray_png = content.startswith(b"\x89PNG") and content[25] == 0
    if is_gray_png and content[24] in _SPREAD:
        mask = mask // _SPREAD[content[24]]
    if mask.max() > 255 or mask.min() < 0:
        outside = mask.max() if mask.max() > 255 else mask.min()
        raise ValueError(f"has the value {outside}; classes are numbers from 0 to 255")
    return mask.astype(np.uint8), {}


def _gray(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Returns the values of a mask without a palette, an integer [height, width].

    Raises:
        ValueError: It has colors or varying transparency, or its pixels are no whole numbers.
    """
    if mode == "1" or mode == "L" or mode.startswith("I"):
        return pixels.astype(np.int64)
    if mode == "F":
        if (pixels != np.round(pixels)).any():
            raise ValueError("has values that are no whole numbers; classes are 0 to 255")
        return pixels.astype(np.int64)
    if mode not in ("LA", "RGB", "RGBA"):
        raise ValueError(f"has pixels of the kind {mode}; a mask holds the number of a class")
    if mode in ("LA", "RGBA"):
        if (pixels[..., -1] != pixels[0, 0, -1]).any():
            raise ValueError("has transparent parts; a mask holds the number of a class")
        pixels = pixels[..., :-1]
    if (pixels != pixels[..., :1]).any():
        colors = np.unique(pixels.reshape(-1, 3), axis=0)
        shown = ", ".join(_rgb(tuple(color)) for color in colors[:_COLORS_NAMED].tolist())
        more = ", …" * (len(colors) > _COLORS_NAMED)
        raise ValueError(
            f"has {len(colors)} colors ({shown}{more}), but a mask holds the number of each "
            "pixel's class, as gray or as index in a palette"
        )
    return pixels[..., 0].astype(np.int64)


def _rgb(color: tuple[int, ...]) -> str:
    return "#" + "".join(f"{part:02x}" for part in color)
