"""Images between a file and the network: decoding, resizing, augmentation."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pipelines.image.config import Augmentation
from pipelines.image.preprocessing import augmentation, decode, resize, scale

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


@pytest.fixture
def batch() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype("float32")


def augment(choice: Augmentation, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns random changes of batches of images."""
    change = augmentation(choice, seed)
    assert change is not None
    return lambda batch: change(tf.constant(batch)).numpy()


def test_without_augmentation_there_is_none():
    assert augmentation(Augmentation(), 1) is None


@pytest.mark.parametrize(
    "choice",
    [
        Augmentation(shift=0.3),
        Augmentation(rotation=0.2),
        Augmentation(zoom=0.4),
        Augmentation(flip=True),
        Augmentation(shift=0.3, rotation=0.2, zoom=0.4, flip=True),
    ],
)
def test_augmentation_depends_on_the_seed_alone(choice, batch):
    one, same, other = (augment(choice, seed) for seed in (1, 1, 2))
    for _ in range(4):
        first, second, third = (change(batch) for change in (one, same, other))
        assert first.shape == batch.shape
        np.testing.assert_array_equal(first, second)
        assert np.any(first != batch)
        if np.any(first != third):
            break
    else:
        pytest.fail("the seed makes no difference")


def test_a_flip_mirrors_about_half_of_the_images():
    batch = np.random.default_rng(0).uniform(size=(200, 3, 4, 1)).astype("float32")
    flipped = augment(Augmentation(flip=True), seed=0)(batch)
    mirrored = np.all(flipped == batch[:, :, ::-1], axis=(1, 2, 3))
    kept = np.all(flipped == batch, axis=(1, 2, 3))
    assert np.all(mirrored ^ kept)
    assert 60 < mirrored.sum() < 140


def test_a_shift_fills_borders_with_black():
    white = np.ones((20, 8, 8, 1), "float32")
    shifted = augment(Augmentation(shift=0.3), seed=0)(white)
    assert shifted.min() == 0
    assert shifted.max() == pytest.approx(1)
