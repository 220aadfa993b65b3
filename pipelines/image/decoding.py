"""Image files as people see them: upright, with their transparency; in TensorFlow's graph.

Training on own files and the served graph call the same code. A JPEG or PNG file is turned as its
EXIF orientation says. Numbers in it that make no sense mean that it is not turned.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_BMP = b"BM"
# Most files have nothing of what takes small steps to read.
_MORE_TO_READ = r"BM\C*|\C*(?:Exif\x00\x00|eXIf|tRNS)\C*"
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
# ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


# Traced once: every data set and signature calls it.
@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def upright(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG, JPEG, GIF or BMP file, string [].

    Of numbers of 16 bits it takes the high byte, and of several images in a file the first.

    Returns:
        uint8 [height, width, channels]: gray, gray and alpha, RGB, or RGB and alpha. Transparent
        colors of GIF files are opaque.

    Raises:
        tf.errors.InvalidArgumentError: It is not such a file, or is damaged.
    """
    image = tf.io.decode_image(encoded, channels=0, expand_animations=False)
    image.set_shape([None, None, None])

    def jpeg() -> tf.Tensor:
        return _turned(image, _orientation(encoded, _exif_of_jpeg(encoded)))

    def png() -> tf.Tensor:
        exif, transparency = _chunks_of_png(encoded)
        return _turned(_with_color_key(image, encoded, transparency), _orientation(encoded, exif))

    def neither() -> tf.Tensor:
        is_bmp = _starts(encoded, _BMP)
        return tf.cond(is_bmp, lambda: _colors_of_bmp(image, encoded), lambda: image)

    def read_more() -> tf.Tensor:
        is_jpeg, is_png = _starts(encoded, _JPEG), _starts(encoded, _PNG)
        return tf.cond(is_jpeg, jpeg, lambda: tf.cond(is_png, png, neither))

    return tf.cond(tf.strings.regex_full_match(encoded, _MORE_TO_READ), read_more, lambda: image)


def decoded(content: bytes) -> np.ndarray:
    """Returns what `upright` does, for one file at a time.

    Most files need TensorFlow's decoder alone, whose call takes a fifth of the graph's time.
    """
    encoded = tf.constant(content)
    if tf.strings.regex_full_match(encoded, _MORE_TO_READ):
        return upright(encoded).numpy()
    return tf.io.decode_image(encoded, channels=0, expand_animations=False).numpy()


def on_white(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Composes an image on white and converts it to gray or to colors.

    Args:
        image: uint8 [height, width, 1 to 4], as `upright` returns it.
        channels: 1 for gray, 3 for colors.

    Returns:
        uint8 [height, width, channels].
    """
    found = tf.shape(image)[-1]

    def composed() -> tf.Tensor:
        pixels = tf.cast(image, tf.float32)
        alpha = pixels[..., -1:] / 255
        return pixels[..., :-1] * alpha + 255 * (1 - alpha)

    # Without alpha, colors stay bytes: large photographs would take four times the memory.
    def opaque() -> tf.Tensor:
        return tf.cast(image, tf.float32) if channels == 1 else image

    def transparent() -> tf.Tensor:
        return composed() if channels == 1 else tf.cast(tf.round(composed()), tf.uint8)

    pixels = tf.cond(found % 2 == 0, transparent, opaque)
    if channels == 3:
        result = tf.broadcast_to(pixels, tf.concat([tf.shape(pixels)[:2], [3]], 0))
    else:
        weights = tf.cond(found < 3, lambda: tf.ones([1]), lambda: tf.constant(_LUMA))
        gray = tf.reduce_sum(pixels * weights, -1, keepdims=True)
        result = tf.cast(tf.clip_by_value(tf.round(gray), 0, 255), tf.uint8)
    result.set_shape([None, None, channels])
    return result


def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns an image upright that is stored in one of the EXIF orientations 1 to 8."""

    def in_(*numbers: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(numbers, tf.int64))

    image = tf.cond(in_(5, 6, 7, 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(in_(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(in_(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def _exif_of_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Returns where a JPEG file's EXIF data begin, int64 []; -1 if it has none."""

    def step(at: tf.Tensor, exif: tf.Tensor) -> tuple[tf.Tensor, ...]:
        first, marker = tf.unstack(_bytes(encoded, at, 2))
        found = (marker == 0xE1) & (_text(encoded, at + 4, 6) == b"Exif\0\0")
        # The image itself begins, or what is here is no segment.
        ends = (first != 0xFF) | (marker == 0xDA) | (marker == 0xD9) | found
        alone = (marker == 0x01) | ((marker >= 0xD0) & (marker <= 0xD7))
        size = tf.where(alone, tf.constant(2, tf.int64), 2 + _number(encoded, at + 2, 2))
        size = tf.where(marker == 0xFF, tf.constant(1, tf.int64), size)  # Fills a gap.
        return tf.where(ends, _length(encoded), at + size), tf.where(found, at + 10, exif)

    (exif,) = _walk(encoded, step, 2, 1)
    return exif


def _chunks_of_png(encoded: tf.Tensor) -> list[tf.Tensor]:
    """Returns where the content of a PNG file's chunks eXIf and tRNS begins, or -1 for each."""

    def step(at: tf.Tensor, exif: tf.Tensor, transparency: tf.Tensor) -> tuple[tf.Tensor, ...]:
        name = _text(encoded, at + 4, 4)
        exif = tf.where(name == b"eXIf", at + 8, exif)
        transparency = tf.where(name == b"tRNS", at + 8, transparency)
        return at + 12 + _number(encoded, at, 4), exif, transparency

    return _walk(encoded, step, len(_PNG), 2)


def _walk(
    encoded: tf.Tensor, step: Callable[..., tuple[tf.Tensor, ...]], start: int, count: int
) -> list[tf.Tensor]:
    """Walks through a file from an offset to its end.

    Args:
        encoded: The file.
        step: From an offset and the places that are found so far to the next offset, which is
            greater, and the places.
        start: The first offset.
        count: Number of places.

    Returns:
        The places, int64 []; -1 for what is not found.
    """
    places = [tf.constant(-1, tf.int64)] * count
    return tf.while_loop(
        lambda at, *_: at < _length(encoded), step, (tf.constant(start, tf.int64), *places)
    )[1:]


def _orientation(encoded: tf.Tensor, exif: tf.Tensor) -> tf.Tensor:
    """Returns the orientation, int64 [] from 1 to 8, in EXIF data that begin at `exif`."""
    order = _text(encoded, exif, 2)
    little = order == b"II"
    known = (exif >= 0) & (little | (order == b"MM"))
    folder = exif + _number(encoded, exif + 4, 4, little)
    room = (_length(encoded) - folder - 2) // 12
    count = tf.clip_by_value(_number(encoded, folder, 2, little), 1, tf.maximum(room, 1))
    entries = tf.reshape(_bytes(encoded, folder + 2, 12 * count), [-1, 12])
    tag, kind = _value(entries[:, 0:2], little), _value(entries[:, 2:4], little)
    short, long = _value(entries[:, 8:10], little), _value(entries[:, 8:12], little)
    value = tf.where(kind == _SHORT, short, long)
    usable = (tag == _ORIENTATION) & ((kind == _SHORT) | (kind == _LONG))
    usable &= (value >= 1) & (value <= 8) & known
    one = tf.ones([1], tf.int64)
    return tf.concat([tf.boolean_mask(value, usable), one], 0)[0]


def _with_color_key(image: tf.Tensor, encoded: tf.Tensor, transparency: tf.Tensor) -> tf.Tensor:
    """Adds alpha to a PNG image, gray or RGB, one of whose colors is declared transparent.

    Not to those of 16 bits, whose low bytes are not there to be compared.
    """
    depth, kind = tf.unstack(_bytes(encoded, tf.constant(24, tf.int64), 2))
    channels = tf.shape(image)[-1]

    def with_alpha() -> tf.Tensor:
        key = _value(tf.reshape(_bytes(encoded, transparency, 6), [3, 2]), tf.constant(False))
        # Gray of fewer bits is spread over the range of a byte.
        largest = tf.bitwise.left_shift(tf.constant(1, tf.int64), depth) - 1
        key = (key * 255 // largest)[:channels]
        shown = tf.reduce_any(tf.cast(image, tf.int64) != key, -1, keepdims=True)
        return tf.concat([image, tf.where(shown, tf.constant(255, tf.uint8), 0)], -1)

    keyed = (transparency >= 0) & (depth <= 8) & ((kind == 0) | (kind == 2))
    return tf.cond(keyed, with_alpha, lambda: image)


def _colors_of_bmp(image: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """Returns a BMP image in the colors of its palette; its fourth channel if that is alpha."""
    little = tf.constant(True)

    def field(offset: int, size: int) -> tf.Tensor:
        return _number(encoded, tf.constant(offset, tf.int64), size, little)

    header, bits, compression, alpha = field(14, 4), field(28, 2), field(30, 4), field(66, 4)

    def by_palette() -> tf.Tensor:
        palette = tf.reshape(_bytes(encoded, 14 + header, 4 * 256), [256, 4])[:, 2::-1]
        return tf.gather(tf.cast(palette, tf.uint8), tf.cast(image[..., 0], tf.int32))

    # Most files of 32 bits have anything in the fourth byte.
    declared = (compression == 3) & (header >= 56) & (alpha == 0xFF000000)
    opaque = (bits == 32) & ~declared
    return tf.cond(
        bits == 8,
        by_palette,
        lambda: tf.cond(opaque, lambda: image[..., :3], lambda: image),
    )


def _length(encoded: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(encoded), tf.int64)


def _starts(encoded: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(magic)) == magic


def _text(encoded: tf.Tensor, offset: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Returns the bytes at an offset, as many as there are."""
    start = tf.clip_by_value(offset, 0, _length(encoded))
    return tf.strings.substr(encoded, start, tf.cast(size, tf.int64))


def _bytes(encoded: tf.Tensor, offset: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Returns the bytes at an offset, int64 [size]; those beyond the end are zeros."""
    text = _text(encoded, offset, size)
    padded = tf.io.decode_raw(text, tf.uint8, fixed_length=tf.cast(size, tf.int32))
    return tf.cast(padded, tf.int64)


def _number(
    encoded: tf.Tensor, offset: tf.Tensor, size: int, little: tf.Tensor | bool = False
) -> tf.Tensor:
    """Returns the unsigned number at an offset, int64 []."""
    return _value(_bytes(encoded, offset, size), tf.convert_to_tensor(little))


def _value(digits: tf.Tensor, little: tf.Tensor) -> tf.Tensor:
    """Returns the numbers that bytes, int64 [..., size], mean in either byte order."""
    places = tf.constant([256**place for place in range(digits.shape[-1])], tf.int64)
    return tf.reduce_sum(digits * tf.where(little, places, places[::-1]), -1)
