"""Image files in the graph, compared with what Pillow makes of them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pipelines.image.decoding import on_white, upright
from pipelines.image.preprocessing import decode

NOISE = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
RGBA = Image.fromarray(NOISE)
# Large even patches, which JPEG keeps.
PATCHES = Image.fromarray(np.kron(NOISE[:2, :3, :3], np.ones((16, 16, 1), np.uint8)))
STRING = [tf.TensorSpec([], tf.string)]


@tf.function(input_signature=STRING)
def in_color(encoded):
    return on_white(upright(encoded), 3)


@tf.function(input_signature=STRING)
def in_gray(encoded):
    return on_white(upright(encoded), 1)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reference(file: bytes, mode: str = "RGB") -> np.ndarray:
    """What Pillow sees: upright, on white."""
    with Image.open(io.BytesIO(file)) as image:
        seen = ImageOps.exif_transpose(image).convert("RGBA")
    white = Image.new("RGBA", seen.size, "white")
    pixels = np.asarray(Image.alpha_composite(white, seen).convert(mode))
    return pixels if mode == "RGB" else pixels[..., None]


def assert_close(decoded, expected: np.ndarray, tolerance: int = 1) -> None:
    assert decoded.dtype == tf.uint8
    assert decoded.shape == expected.shape
    assert np.abs(decoded.numpy().astype(int) - expected).max() <= tolerance


def tiff(orientation: int, order: str, kind: str = "H", before: int = 1) -> bytes:
    """Returns EXIF data: `before` other fields, and the orientation."""
    other = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0")
    code = {"H": 3, "I": 4}[kind]
    value = struct.pack(order + kind, orientation).ljust(4, b"\0")
    field = struct.pack(order + "HHI4s", 0x0112, code, 1, value)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    count = struct.pack(order + "H", before + 1)
    return start + count + other * before + field + bytes(4)


def jpeg_with(segment: bytes) -> bytes:
    """Returns a JPEG file with a segment after the one that is its first."""
    file = encoded(PATCHES, "JPEG", quality=95, subsampling=0)
    end = 4 + int.from_bytes(file[4:6], "big")
    return file[:end] + segment + file[end:]


def app1(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    sum_ = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", sum_)


def png_with(content: bytes, before: bytes = b"IDAT") -> bytes:
    file = encoded(PATCHES, "PNG")
    place = file.index(before) - 4
    return file[:place] + content + file[place:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_as_their_orientation_says(orientation, order):
    exif = tiff(orientation, order)
    for file in (
        jpeg_with(app1(b"Exif\0\0" + exif)),
        png_with(chunk(b"eXIf", exif)),
        png_with(chunk(b"eXIf", exif), before=b"IEND"),
    ):
        expected = reference(file)
        assert expected.shape[:2] == ((48, 32) if orientation > 4 else (32, 48))
        assert_close(in_color(file), expected, 8)
        assert_close(in_gray(file), reference(file, "L"), 8)


def test_the_orientation_is_found_behind_other_segments_and_fields():
    other = app1(b"http://ns.adobe.com/xap/1.0/\0<x/>") + b"\xff\xfe\0\x04Ex" + b"\xff"
    for exif in (
        tiff(6, "<", "I"),
        tiff(6, ">", "I"),
        tiff(6, ">", before=0),
        tiff(6, "<", "H", 9),
    ):
        file = jpeg_with(other + app1(b"Exif\0\0" + exif))
        assert_close(in_color(file), reference(file), 8)
        assert in_color(file).shape == (48, 32, 3)


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II",
        b"XX*\0\x08\0\0\0\x01\0",
        tiff(0, "<"),
        tiff(9, ">"),
        tiff(65535, "<"),
        tiff(6, "<")[:-9],
        b"II*\0\xff\xff\xff\xff" + tiff(6, "<")[8:],
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + tiff(1, ">")[10:],
    ],
    ids=repr,
)
def test_exif_data_that_make_no_sense_turn_nothing(exif):
    for file in (jpeg_with(app1(b"Exif\0\0" + exif)), png_with(chunk(b"eXIf", exif))):
        assert_close(in_color(file), np.asarray(PATCHES), 8)


@settings(max_examples=40)
@given(st.binary(max_size=60), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_no_exif_data_make_decoding_fail(noise, start):
    plain = np.asarray(PATCHES)
    decoded = in_color(jpeg_with(app1(b"Exif\0\0" + start + noise))).numpy()
    assert sorted(decoded.shape) == sorted(plain.shape)


KINDS = {
    "gray": RGBA.getchannel(0),
    "gray and alpha": RGBA.convert("LA"),
    "colors": RGBA.convert("RGB"),
    "colors and alpha": RGBA,
    "palette": RGBA.convert("RGB").quantize(16),
    "one bit": RGBA.convert("1"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_png_is_what_people_see(kind):
    file = encoded(KINDS[kind], "PNG")
    assert_close(in_color(file), reference(file))
    assert_close(in_gray(file), reference(file, "L"))


@pytest.mark.parametrize(
    ("kind", "transparency"),
    [
        ("palette", 3),
        ("palette", bytes(range(0, 256, 17))),
        ("gray", int(NOISE[2, 2, 0])),
        ("colors", tuple(map(int, NOISE[2, 2, :3]))),
    ],
)
def test_transparent_colors_are_white(kind, transparency):
    file = encoded(KINDS[kind], "PNG", transparency=transparency)
    expected = reference(file)
    assert (expected == 255).all(-1).any()
    assert_close(in_color(file), expected)
    assert_close(in_gray(file), reference(file, "L"))


def test_what_lies_under_transparent_pixels_does_not_count():
    hidden = NOISE.copy()
    hidden[..., 3] = 0
    file = encoded(Image.fromarray(hidden), "PNG")
    assert (in_color(file).numpy() == 255).all()
    # Nor does it after resizing, which mixes neighbors.
    hidden[2:, :, :] = (10, 20, 30, 255)
    small = decode(tf.constant([encoded(Image.fromarray(hidden), "PNG")]), (3, 3, 3))
    assert (small.numpy()[0, 0] > 250).all()


def test_sixteen_bits_are_their_high_byte():
    values = np.random.default_rng(0).integers(0, 65536, (5, 7)).astype(np.uint16)
    file = encoded(Image.fromarray(values), "PNG")
    np.testing.assert_array_equal(in_gray(file)[..., 0], values >> 8)
    np.testing.assert_array_equal(in_color(file)[..., 1], values >> 8)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_is_what_people_see(mode):
    file = encoded(PATCHES.convert(mode), "JPEG", quality=95)
    assert_close(in_color(file), reference(file), 8)
    assert_close(in_gray(file), reference(file, "L"), 8)


@pytest.mark.parametrize("kind", ["gray", "colors", "palette", "colors and alpha"])
def test_bmp_files_have_the_colors_of_their_palette_and_no_alpha(kind):
    file = encoded(KINDS[kind], "BMP")
    assert_close(in_color(file), np.asarray(KINDS[kind].convert("RGB")), 0)
    assert_close(in_gray(file), np.asarray(KINDS[kind].convert("RGB").convert("L"))[..., None])


def test_bmp_files_that_declare_alpha_have_it():
    rows = NOISE[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = struct.pack("<IiiHHIIiiII", 108, 7, 5, 1, 32, 3, len(rows), 0, 0, 0, 0) + masks
    info = info.ljust(108, b"\0")
    file = b"BM" + struct.pack("<IHHI", 14 + 108 + len(rows), 0, 0, 14 + 108) + info + rows
    assert_close(in_color(file), reference(file))


def test_the_same_picture_turned_by_its_tag_is_the_same(tmp_path: Path):
    plain = encoded(PATCHES, "JPEG", quality=95, subsampling=0)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = encoded(PATCHES.rotate(180), "JPEG", quality=95, subsampling=0, exif=exif)
    one, other = decode(tf.constant([plain, turned]), (32, 48, 3)).numpy().astype(int)
    assert np.abs(one - other).max() <= 8
    assert np.abs(one - one[::-1, ::-1]).max() > 50
