"""Image files, whole and damaged."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.errors import UserError
from serving.query import pictures
from tests.serving.damage import damaged


def encoded(kind: str) -> bytes:
    """Returns an image with a turn in its EXIF data where the format has them."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    mode = {"GIF": "P", "PPM": "I;16", "ICO": "RGBA"}.get(kind, "RGB")
    options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    Image.new(mode, (9, 7)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO", "TGA"])
@settings(max_examples=25)
@given(data=st.data())
def test_a_damaged_image_is_read_or_refused(tmp_path_factory, kind, data):
    path = tmp_path_factory.getbasetemp() / "image"
    whole = encoded(kind)
    path.write_bytes(whole)
    assert pictures.shown(path).mode == "RGB"
    path.write_bytes(data.draw(damaged(whole)))
    for read in (pictures.read, pictures.check, pictures.shown):
        with contextlib.suppress(UserError):
            read(path)
