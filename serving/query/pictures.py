"""Image files as a served model takes them: PNG, JPEG, and GIF and BMP without transparency.

Models that decode files in TensorFlow read these. Others are converted to PNG here, upright and
with their transparency. Pillow is imported only for them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from serving.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".tga", ".avif", ".jp2"),
}
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def read(path: Path) -> tuple[bytes, str]:
    """Returns a file to send to a model, and its format if that had to be converted to PNG.

    Raises:
        UserError: The file cannot be read, or it is no image.
    """
    content = _content(path)
    if content.startswith((_PNG, _JPEG)):
        return content, ""
    image = _opened(path, content)
    simple = image.format == "BMP" and content[28:34] == b"\x18\0\0\0\0\0"
    if simple or (image.format == "GIF" and not image.has_transparency_data):
        return content, ""
    target = io.BytesIO()
    _of_bytes(path, _turned(image)).save(target, "PNG")
    return target.getvalue(), image.format or ""


def check(path: Path) -> None:
    """Raises `UserError` if a file cannot be decoded."""
    _opened(path, _content(path))


def shown(path: Path) -> Image:
    """Returns the picture in a file as people see it: RGB, upright, on white.

    Raises:
        UserError: The file cannot be read, or it is no image.
    """
    from PIL import Image

    image = _turned(_opened(path, _content(path)))
    if image.mode.startswith("I"):  # Of 16 bits the high byte is shown.
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    colors = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colors.size, "white"), colors).convert("RGB")


def beside(image: Image, content: bytes) -> Image:
    """Returns an image, RGB, and a picture of any size, encoded, to its right, as high as it."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as opened:
        other = opened.convert("RGB").resize(image.size, Image.Resampling.NEAREST)
    gap = max(image.width // 32, 1)
    both = Image.new("RGB", (2 * image.width + gap, image.height), "white")
    both.paste(image, (0, 0))
    both.paste(other, (image.width + gap, 0))
    return both


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _opened(path: Path, content: bytes) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except UnidentifiedImageError:
        what = f"it begins with {content[:16]!r}" if content else "it is empty"
        raise UserError(f"{path} is no image: {what}") from None
    except Exception as error:  # Pillow's decoders raise whatever they stumble over.
        raise UserError(f"{path} cannot be decoded: {error}") from error
    return image


def _turned(image: Image) -> Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _of_bytes(path: Path, image: Image) -> Image:
    """Returns an image in a mode that PNG has."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return image.convert("I").convert("I;16")
    if image.mode in ("I", "F"):
        raise UserError(f"{path} has neither 8 nor 16 bits a pixel; convert it")
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        return image.convert("LA" if gray else "RGBA")
    return image.convert("L" if gray else "RGB")
