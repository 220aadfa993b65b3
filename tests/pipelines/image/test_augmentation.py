"""Augmentation of images: it follows from seeds alone, and masks move as their images do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.image.augmentation import augmentation
from pipelines.image.config import Augmentation

VOID = 255
ALONE = {
    "shift": Augmentation(shift=0.3),
    "rotation": Augmentation(rotation=0.2),
    "zoom": Augmentation(zoom=0.4),
    "flip": Augmentation(flip=True),
}
FRACTIONS = st.sampled_from([0.0, 0.2, 0.4])
GEOMETRIC = st.builds(
    Augmentation, shift=FRACTIONS, rotation=FRACTIONS, zoom=FRACTIONS, flip=st.booleans()
)


def seeds(rows: int, key: int = 7) -> tf.Tensor:
    return tf.stack([tf.fill([rows], key), tf.range(rows)], axis=1)


def changed(options: Augmentation, images: Any, masks: Any = None, key: int = 7) -> Any:
    """Returns changed images, with their masks if there are any."""
    change = augmentation(options, void=VOID)
    assert change
    found = change(
        tf.constant(images), None if masks is None else tf.constant(masks), seeds(len(images), key)
    )
    return found[0].numpy() if masks is None else tuple(x.numpy() for x in found)


def noise(rows: int = 6, side: int = 12, channels: int = 1) -> np.ndarray:
    shape = (rows, side, side, channels)
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def test_without_augmentation_there_is_none():
    assert augmentation(Augmentation()) is None


@pytest.mark.parametrize("options", ALONE.values(), ids=ALONE)
def test_changes_follow_from_the_seeds_alone(options):
    """The same images in another order, or alone, or in a graph, change in the same way."""
    images, change = noise(), augmentation(options)
    assert change
    whole = changed(options, images)
    assert np.any(whole != images)
    assert np.any(whole != changed(options, images, key=8))
    order = np.random.default_rng(1).permutation(len(images))
    shuffled = change(tf.constant(images[order]), None, tf.gather(seeds(len(images)), order))[0]
    np.testing.assert_array_equal(shuffled, whole[order])
    data = tf.data.Dataset.from_tensor_slices((images, seeds(len(images)))).batch(1)
    alone = data.map(lambda x, seed: change(x, None, seed)[0], num_parallel_calls=2)
    np.testing.assert_allclose(np.concatenate(list(alone)), whole, atol=1e-5)


@settings(max_examples=5)
@given(GEOMETRIC, st.integers(0, 1000))
def test_values_stay_in_their_range(options, key):
    if options != Augmentation():
        images = changed(options, noise(channels=3), key=key)
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1 + 1e-6


def test_a_flip_mirrors_about_half_of_the_images():
    images = noise(200)
    flipped = changed(Augmentation(flip=True), images)
    mirrored = np.isclose(flipped, images[:, :, ::-1], atol=1e-5).all((1, 2, 3))
    kept = np.isclose(flipped, images, atol=1e-5).all((1, 2, 3))
    assert np.all(mirrored ^ kept)
    assert 60 < mirrored.sum() < 140


def test_a_shift_fills_borders_with_black():
    shifted = changed(Augmentation(shift=0.3), np.ones((20, 8, 8, 1), np.float32))
    assert shifted.min() == 0
    assert shifted.max() == pytest.approx(1)


@settings(max_examples=6)
@given(GEOMETRIC, st.integers(0, 1000))
def test_a_mask_moves_exactly_as_its_image(options, key):
    """Columns and rows are linear, so interpolation is exact; nearest is half a pixel away."""
    if options == Augmentation():
        return
    rows, side = 20, 30
    columns = np.broadcast_to(np.arange(side), (rows, side, side))
    ramps = np.stack([columns, columns.swapaxes(1, 2)], axis=-1)
    for channel in range(2):
        image = ramps[..., channel : channel + 1].astype(np.float32) / side
        mask = ramps[..., channel].astype(np.uint8)
        moved, classes = changed(options, image, mask, key)
        assert classes.dtype == np.uint8
        white = changed(options, np.ones_like(image), key=key)[..., 0]
        whole = white > 1 - 1e-5
        assert np.all(classes[whole] != VOID)
        far = np.abs(moved[..., 0] * side - classes)[whole]
        assert far.max(initial=0) <= 0.5 + 1e-3
        assert np.all(classes[white == 0] == VOID)


def test_pixels_without_a_class_stay_without():
    mask = np.array([[[VOID, 0], [1, 254]]] * 8, np.uint8)
    _, classes = changed(Augmentation(flip=True), np.zeros((8, 2, 2, 1), np.float32), mask)
    for one in classes.tolist():
        assert one in ([[VOID, 0], [1, 254]], [[0, VOID], [254, 1]])
