"""A user's own image files: which files are images, whether they can be read, and reading them.

What a file is follows from its content. JPEG and PNG files are decoded by TensorFlow's graph, in
training as in a served model. Others are read by Pillow, and go through the same graph as PNG.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from architectures.pretrained import Preprocessing
from pipelines.datasets import files
from pipelines.errors import UserError
from pipelines.image.decoding import decoded
from pipelines.image.preprocessing import WHOLE, Part, decode_file

Result = TypeVar("Result")

# Names of the folders of a set of images with masks, in lower case.
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "photos", "inputs")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "annotations", "annotation", "segmentations"),
    *("segmentation", "segmentationclass", "trimaps", "ground_truth", "groundtruth", "gt"),
    "targets",
)

# Files that wait for a thread.
_AT_ONCE = 4096
# Formats that TensorFlow's graph decodes as they are.
BY_GRAPH = ("JPEG", "PNG")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# Formats of Pillow that hold pixels and need no other program.
_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG2000", "PCX", "PPM", "PSD", "QOI", "TGA"),
    *("TIFF", "WEBP"),
)
_HEADERS_OF_BMP = {12, 40, 52, 56, 64, 108, 124}
# A high byte below this means that a 16-bit image uses less than an eighth of its range.
_DARK = 32


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file that can be decoded.

    Attributes:
        name: The path of the file; as text, it takes a fifth of the memory.
        digest: SHA-256 of its content, hexadecimal.
        height: Pixels from top to bottom as people see it, after EXIF orientation.
        width: Pixels from left to right.
        gray: Whether it has no colors.
        kind: Its format, as "PNG".
        largest: The highest of the high bytes of an image of 16 bits; -1 for one of 8 bits.
        pages: Number of pages or frames; the first is read.
    """

    name: str
    digest: str
    height: int
    width: int
    gray: bool
    kind: str
    largest: int
    pages: int

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.name)

    @property
    def by_graph(self) -> bool:
        """Whether TensorFlow's graph decodes the file as it is."""
        return self.kind in BY_GRAPH


def is_image(path: Path) -> bool:
    """Returns whether a file is an image, by its ending or content."""
    return path.suffix.lower() in files.IMAGES or _begins_as_image(path)


def are_images(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Returns the files that are images, by their endings or content, and the others."""
    images, others = list[Path](), list[Path]()
    for path in paths:
        (images if is_image(path) else others).append(path)
    return images, others


def scan(paths: Sequence[Path]) -> Iterator[ImageFile | str]:
    """Decodes files as training does, in threads.

    Yields:
        For each path what the file is, or what is wrong with it, as "is empty".
    """
    return in_threads(_scanned, paths)


def in_threads(scanned: Callable[[Path], Result], paths: Sequence[Path]) -> Iterator[Result]:
    """Yields what a function finds in each file; decoders let other threads run."""
    with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        # A file that waits for its thread takes 1.6 KB.
        for start in range(0, len(paths), _AT_ONCE):
            yield from pool.map(scanned, paths[start : start + _AT_ONCE])


def orientation(path: Path) -> int:
    """Returns the EXIF orientation of an image file, from 1 to 8; 1 if it has none that is one."""
    try:
        with Image.open(path) as image:
            found = image.getexif().get(0x0112, 1)
    except Exception:  # Pillow's decoders raise whatever they stumble over.
        return 1
    return found if found in range(1, 9) else 1


def read(
    path: tf.Tensor,
    by_graph: tf.Tensor,
    shape: tuple[int, int, int],
    how: Preprocessing = WHOLE,
    part: Part | None = None,
) -> tf.Tensor:
    """Reads a file, in a graph of TensorFlow's data pipelines.

    Args:
        path: string [].
        by_graph: bool [], whether it is a JPEG or PNG file.
        shape: (height, width, channels) of the result.
        how: Crop and interpolation.
        part: Takes another part of the image.

    Returns:
        uint8 [*shape].
    """

    def by_pillow() -> tf.Tensor:
        content = tf.numpy_function(
            lambda name: _as_png(Path(os.fsdecode(name)).read_bytes())[0],
            [path],
            tf.string,
            stateful=False,
        )
        return tf.ensure_shape(content, [])

    encoded = tf.cond(by_graph, lambda: tf.io.read_file(path), by_pillow)
    return decode_file(encoded, shape, how, part)


def columns(images: Sequence[ImageFile]) -> tuple[list[bytes], list[bool]]:
    """Returns what `read` takes of each file."""
    return [os.fsencode(image.name) for image in images], [image.by_graph for image in images]


def sizes(images: Sequence[ImageFile]) -> np.ndarray:
    """Returns (height, width) of each file, int64 [files, 2]."""
    return np.array([(image.height, image.width) for image in images], np.int64)


def common_shape(images: Iterable[ImageFile], image_size: int) -> tuple[int, int, int]:
    """Returns (height, width, channels) after resizing; one channel only if all files are gray.

    Args:
        images: At least one file.
        image_size: Height and width to resize to; 0 keeps the images' common size.

    Raises:
        UserError: The images differ in size while `image_size` is 0.
    """
    channels, first = 1, None
    for image in images:
        first = first or image
        channels = channels if image.gray else 3
        if not image_size and (image.height, image.width) != (first.height, first.width):
            raise UserError(
                f"the images differ in size: {first.path} has {first.width} x {first.height} "
                f"pixels, {image.path} has {image.width} x {image.height}; choose one, as "
                "--image_size 128"
            )
    assert first
    return image_size or first.height, image_size or first.width, channels


def notes(images: Iterable[ImageFile]) -> list[str]:
    """Returns what is worth knowing about files, in sentences."""
    found, kinds, deep, several = list[str](), Counter[str](), list[int](), list[Path]()
    for image in images:
        kinds[image.kind] += 1
        deep += [image.largest] * (image.largest >= 0)
        several += [image.path] * (image.pages > 1)
    if kinds.keys() - {"JPEG", "PNG"}:
        numbers = [f"{number} {kind}" for kind, number in kinds.most_common()]
        found.append(f"the files are {', '.join(numbers)}; other formats are read as PNG")
    if deep:
        largest = max(deep)
        if largest < _DARK:
            found.append(
                f"no value of the {len(deep)} images of 16 bits is above {256 * largest + 255}, of "
                "65535 that are possible: they are nearly black to a network, which reads the "
                "high byte; scale their values to the whole range"
            )
    if several:
        found.append(
            f"of {files.number(len(several), 'file')} with several pages or frames, the first is "
            f"read: {named(several)}"
        )
    return found


def named(paths: Sequence[object], at_most: int = 3) -> str:
    """Returns the first paths, as "a.png, b.png, …"."""
    return ", ".join(map(str, paths[:at_most])) + ", …" * (len(paths) > at_most)


def _begins_as_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError:
        return False
    return (
        head.startswith((_PNG, _JPEG, b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  "))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _HEADERS_OF_BMP)
        or head[4:12] in (b"ftypavif", b"ftypheic", b"ftypheix", b"ftypmif1")
    )


def _scanned(path: Path) -> ImageFile | str:
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "is no name of a file"
    encoded, kind, pages = content, "PNG" if content.startswith(_PNG) else "JPEG", 1
    try:
        if not content.startswith((_PNG, _JPEG)):
            encoded, kind, pages = _as_png(content)
        image = decoded(encoded)
    except tf.errors.OpError:
        return _damage(content)
    except ValueError as error:
        return str(error)
    height, width, channels = image.shape
    deep = encoded.startswith(_PNG) and encoded[24] == 16
    return ImageFile(
        str(path),
        hashlib.sha256(content).hexdigest(),
        height,
        width,
        gray=channels < 3,
        kind=kind,
        largest=int(image[..., : 1 if channels < 3 else 3].max()) if deep else -1,
        pages=pages,
    )


def _damage(content: bytes) -> str:
    """Returns what is wrong with a JPEG or PNG file."""
    kind, end = ("PNG", b"IEND") if content.startswith(_PNG) else ("JPEG", b"\xff\xd9")
    if end not in content[-1024:]:
        return f"is cut off: the end of the {kind} file is missing"
    return f"is damaged: it cannot be decoded as {kind}"


def _as_png(content: bytes) -> tuple[bytes, str, int]:
    """Returns an image of another format as a PNG file, upright; the format; and its pages.

    Raises:
        ValueError: Says what is wrong.
    """
    if not content:
        raise ValueError("is empty")
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1"):
        raise ValueError("is an HEIC image, which cannot be read: convert it to JPEG or PNG")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            kind, pages = image.format or "", getattr(image, "n_frames", 1)
            image.load()
            chosen = _of_bytes(ImageOps.exif_transpose(image), kind)
    except Image.UnidentifiedImageError:
        raise ValueError(f"is no image: it begins with {content[:16]!r}") from None
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they stumble over.
        raise ValueError(f"is damaged: {error}") from error
    target = io.BytesIO()
    chosen.save(target, "PNG", compress_level=1)
    return target.getvalue(), kind, pages


def _of_bytes(image: Image.Image, kind: str) -> Image.Image:
    """Returns an image in a mode that PNG has, gray if it is gray, with its transparency.

    Raises:
        ValueError: Its pixels are neither of 8 nor of 16 bits.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PPM"):
        return Image.fromarray(np.asarray(image).astype(np.uint16))
    if image.mode in ("I", "F"):
        pixels = "integers of 32 bits" if image.mode == "I" else "floating-point numbers"
        raise ValueError(f"has pixels that are {pixels}; convert it to 8 or 16 bits")
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        return image.convert("LA" if gray else "RGBA")
    return image.convert("L" if gray else "RGB")
