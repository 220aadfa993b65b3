"""Color overlays: palettes, and masks blended with images and files."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.tasks.image_segmentation.data import IGNORE_ID
from pipelines.tasks.image_segmentation.overlay import overlay, overlay_file, palette


def test_each_class_but_the_background_has_its_own_color():
    for classes in (2, 11, 20):
        names = ["background", *map(str, range(1, classes))]
        colors = palette(names)
        assert colors.dtype == np.uint8
        assert colors.shape == (256, 3)
        assert len(np.unique(colors[1:classes], axis=0)) == classes - 1
        assert colors[1:classes].any(-1).all()
        assert not colors[[0, *range(classes, 256)]].any()
    assert palette(["sky", "ground"])[:2].any(-1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_is_half_the_image_and_half_the_color(channels):
    colors = palette(["background", "cell"])
    image = np.full((2, 2, channels), 101, np.uint8)
    blended = overlay(image, np.array([[0, 1], [IGNORE_ID, 0]], np.uint8), colors).numpy()
    assert (blended.dtype, blended.shape) == (np.uint8, (2, 2, 3))
    assert blended[0, 1].tolist() == [(101 + int(color)) // 2 for color in colors[1]]
    for pixel in (blended[0, 0], blended[1, 0], blended[1, 1]):
        assert pixel.tolist() == [101, 101, 101]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_mask_is_blended_with_a_file_of_any_size_and_format(kind):
    file = io.BytesIO()
    Image.new("RGB", (30, 20), (100, 100, 100)).save(file, kind)
    colors = palette(["background", "cell"])
    mask = tf.constant([[0, 1], [0, 0], [1, 1], [1, 1]], tf.uint8)
    blended = overlay_file(tf.constant(file.getvalue()), mask, colors)
    with Image.open(io.BytesIO(blended.numpy())) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (30, 20))
        pixels = np.asarray(image).astype(int)
    half = (100 + colors[1].astype(int)) // 2
    expected = np.full((20, 30, 3), 100)
    expected[:5, 15:] = expected[10:] = half
    assert np.abs(pixels - expected).max() <= 2


def test_a_file_that_is_turned_by_its_tag_gets_its_overlay_upright():
    lying = Image.new("RGB", (30, 20), (100, 100, 100))
    lying.paste((200, 200, 200), (0, 0, 15, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    lying.save(file, "PNG", exif=exif)
    colors = palette(["background", "cell"])
    mask = tf.constant([[1], [0]], tf.uint8)
    blended = overlay_file(tf.constant(file.getvalue()), mask, colors)
    pixels = np.asarray(Image.open(io.BytesIO(blended.numpy())))
    assert pixels.shape == (30, 20, 3)
    assert (pixels[:15] == (200 + colors[1].astype(int)) // 2).all()
    assert (pixels[15:] == 100).all()
