"""Images between a file and the network: decoding and resizing."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from architectures.pretrained import Preprocessing
from pipelines.image.preprocessing import decode, resize, scale

SIDE = st.integers(1, 9)
IMAGES = st.tuples(SIDE, SIDE, st.sampled_from([1, 3])).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape)
)


@settings(max_examples=25)
@given(image=IMAGES, height=SIDE, width=SIDE)
def test_resizing_returns_the_shape_and_stays_within_the_range(image, height, width):
    shape = (height, width, image.shape[-1])
    resized = resize(tf.constant(image), shape)
    assert resized.dtype == tf.uint8
    assert tuple(resized.shape) == shape
    assert image.min() <= resized.numpy().min()
    assert resized.numpy().max() <= image.max()


@settings(max_examples=15)
@given(image=IMAGES)
def test_an_image_of_the_shape_is_unchanged(image):
    np.testing.assert_array_equal(resize(tf.constant(image), image.shape), image)
    # Also where its static shape is unknown, as after decoding.
    graph = tf.function(
        lambda x: resize(x, image.shape),
        input_signature=[tf.TensorSpec([None, None, image.shape[-1]], tf.uint8)],
    )
    np.testing.assert_array_equal(graph(image), image)


def test_shrinking_averages_instead_of_picking_pixels():
    checkerboard = np.indices((45, 45)).sum(0) % 2 * 255
    image = checkerboard[..., None].astype(np.uint8)
    # Every fifth pixel would be black or white.
    small = resize(tf.constant(image), (9, 9, 1)).numpy()
    assert abs(small[1:-1, 1:-1].astype(int) - 128).max() < 16


def test_batches_are_resized_like_single_images():
    batch = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), np.uint8)
    together = resize(tf.constant(batch), (4, 4, 3))
    assert tuple(together.shape) == (4, 4, 4, 3)
    for image, resized in zip(batch, together, strict=True):
        np.testing.assert_array_equal(resize(tf.constant(image), (4, 4, 3)), resized)


SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))


def encoded(image: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


@settings(max_examples=25)
@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, (2, *shape))))
def test_png_files_decode_to_the_encoded_images(batch):
    files = [tf.io.encode_png(image).numpy() for image in batch]
    np.testing.assert_array_equal(decode(tf.constant(files), batch.shape[1:]), batch)


@settings(max_examples=25)
@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, shape)))
def test_files_of_another_size_are_resized_like_the_data_set(image):
    shape = (6, 5, image.shape[-1])
    file = tf.io.encode_png(image)
    np.testing.assert_array_equal(
        decode(tf.stack([file]), shape)[0], resize(tf.constant(image), shape)
    )


def test_a_batch_may_mix_files_of_all_kinds_and_sizes():
    shade = np.full((6, 4, 3), (200, 100, 50), np.uint8)
    files = [
        encoded(shade, "PNG"),
        encoded(shade, "JPEG", quality=100, subsampling=0),
        encoded(shade, "BMP"),
        encoded(shade, "GIF"),
        encoded(np.repeat(np.repeat(shade, 3, 0), 3, 1), "PNG"),
    ]
    decoded = decode(tf.constant(files), (6, 4, 3)).numpy()
    assert decoded.dtype == np.uint8
    assert decoded.shape == (5, 6, 4, 3)
    assert np.abs(decoded.astype(int) - shade).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_gray_files_fill_the_channels_of_a_color_model(kind):
    gray = np.full((4, 4, 1), 77, np.uint8)
    decoded = decode(tf.constant([encoded(gray, kind)]), (4, 4, 3)).numpy()
    np.testing.assert_allclose(decoded[0], np.full((4, 4, 3), 77), atol=1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_color_files_become_gray_for_a_gray_model(kind):
    color = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    decoded = decode(tf.constant([encoded(color, kind)]), (4, 4, 1)).numpy()
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    np.testing.assert_allclose(decoded[0], np.full((4, 4, 1), luma), atol=2)


def test_bytes_that_are_no_image_are_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant([b"no image"]), (4, 4, 3))


def test_decoding_works_in_a_graph_for_any_number_of_files():
    spec = [tf.TensorSpec([None], tf.string)]
    graph = tf.function(lambda files: decode(files, (3, 3, 1)), input_signature=spec)
    image = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    for count in (0, 1, 5):
        decoded = graph(tf.constant([encoded(image, "PNG")] * count, tf.string, [count]))
        np.testing.assert_array_equal(decoded, np.broadcast_to(image, (count, 3, 3, 1)))


def test_scaling_maps_uint8_to_0_to_1():
    values = scale(tf.constant([0, 51, 255], tf.uint8))
    assert values.dtype == tf.float32
    np.testing.assert_allclose(values, [0, 0.2, 1])


@pytest.mark.parametrize(
    ("interpolation", "most"), [("bilinear", 1), ("bicubic", 2), ("lanczos", 1)]
)
@pytest.mark.parametrize(("height", "width"), [(50, 75), (60, 50), (30, 41)])
@pytest.mark.parametrize("crop_share", [0.0, 0.875, 1.0])
def test_images_are_resized_and_cropped_as_pillow_does(
    interpolation, most, height, width, crop_share
):
    """As torchvision's Resize and CenterCrop of the shorter side, or squeezed without a crop.

    Pillow takes the rows first, as here, unless the columns first are much cheaper.
    """
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    how = Preprocessing(crop_share=crop_share, interpolation=interpolation)
    resample = getattr(Image.Resampling, interpolation.upper())
    if crop_share:
        short = int(32 / crop_share)
        size = [short * side // min(height, width) for side in (height, width)]
        top, left = (round((side - 32) / 2) for side in size)
    else:
        size, top, left = [32, 32], 0, 0
    resized = np.asarray(Image.fromarray(image).resize((size[1], size[0]), resample))
    expected = resized[top : top + 32, left : left + 32].astype(int)
    found = resize(tf.constant(image), (32, 32, 3), how).numpy()
    assert np.abs(found - expected).max() <= most
    # Files that are sent, too, whose size is unknown before.
    (decoded,) = decode(tf.io.encode_png(image)[tf.newaxis], (32, 32, 3), how).numpy()
    np.testing.assert_array_equal(decoded, found)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_an_image_of_the_networks_size_is_not_cropped(interpolation):
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    how = Preprocessing(crop_share=0.5, interpolation=interpolation)
    (decoded,) = decode(tf.io.encode_png(image)[tf.newaxis], (12, 16, 3), how).numpy()
    np.testing.assert_array_equal(decoded, image)
