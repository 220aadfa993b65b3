"""Augmentation of images: it follows from seeds alone, and masks move as their images do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.image import color, geometry, mixing
from pipelines.image.augmentation import of_labeled_images, of_segmented_images
from pipelines.image.config import Augmentation
from pipelines.stateless import stream

VOID = 255
CLASSES = 3
ALONE = {
    "shift": Augmentation(shift=0.3),
    "rotation": Augmentation(rotation=0.2),
    "zoom": Augmentation(zoom=0.4),
    "flip": Augmentation(flip=True),
    "vertical_flip": Augmentation(vertical_flip=True),
    "crop": Augmentation(crop=0.2),
    "crop_padding": Augmentation(crop_padding=3),
    "brightness": Augmentation(brightness=0.4),
    "contrast": Augmentation(contrast=0.6),
    "saturation": Augmentation(saturation=0.7),
    "hue": Augmentation(hue=0.3),
    "rand_augment": Augmentation(rand_augment=2),
    "erasing": Augmentation(erasing=0.8),
}
FRACTIONS = st.sampled_from([0.0, 0.2, 0.4])
GEOMETRIC = st.builds(
    Augmentation,
    shift=FRACTIONS,
    rotation=FRACTIONS,
    zoom=FRACTIONS,
    flip=st.booleans(),
    vertical_flip=st.booleans(),
    crop=st.sampled_from([0.0, 0.3]),
    crop_padding=st.sampled_from([0, 4]),
)


def seeds(rows: int, key: int = 7) -> tf.Tensor:
    return tf.stack([tf.fill([rows], key), tf.range(rows)], axis=1)


def changed(options: Augmentation, images: np.ndarray, key: int = 7) -> np.ndarray:
    """Returns changed images."""
    change = of_labeled_images(options, CLASSES)
    assert change
    rows = len(images)
    labels = tf.range(rows, dtype=tf.int64) % CLASSES
    moved, _ = change(tf.constant(images), labels, seeds(rows, key))
    return moved.numpy()


def together(
    options: Augmentation, images: np.ndarray, masks: np.ndarray, key: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """Returns changed images with their masks."""
    change = of_segmented_images(options, VOID)
    assert change
    moved, classes = change(tf.constant(images), tf.constant(masks), seeds(len(images), key))
    return moved.numpy(), classes.numpy()


def noise(rows: int = 6, side: int = 12, channels: int = 1) -> np.ndarray:
    shape = (rows, side, side, channels)
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def test_without_augmentation_there_is_none():
    off = Augmentation(magnitude=3.0)
    assert of_labeled_images(off, CLASSES) is None
    assert of_segmented_images(off, VOID) is None


@pytest.mark.parametrize("options", ALONE.values(), ids=ALONE)
def test_changes_follow_from_the_seeds_alone(options):
    """The same images in another order, or alone, or in a graph, change in the same way."""
    images = noise(channels=3)
    change = of_labeled_images(options, CLASSES)
    assert change
    whole = changed(options, images)
    assert whole.dtype == np.float32
    assert whole.shape == images.shape
    assert whole.min() >= 0
    assert whole.max() <= 1 + 1e-6
    assert np.any(whole != images)
    assert np.any(whole != changed(options, images, key=8))
    order = np.random.default_rng(1).permutation(len(images))
    labels = tf.zeros(len(images), tf.int64)
    shuffled, same = change(
        tf.constant(images[order]), labels, tf.gather(seeds(len(images)), order)
    )
    assert same is labels
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-5)
    data = tf.data.Dataset.from_tensor_slices((images, seeds(len(images)))).batch(1)
    alone = data.map(
        lambda x, seed: change(x, tf.zeros(1, tf.int64), seed)[0], num_parallel_calls=2
    )
    np.testing.assert_allclose(np.concatenate(list(alone)), whole, atol=1e-5)


@pytest.mark.parametrize("name", ["saturation", "hue", "rand_augment", "brightness"])
def test_gray_images_are_changed_as_far_as_they_can_be(name):
    """They have no hue and no saturation."""
    images = noise()
    found = changed(ALONE[name], images)
    assert found.shape == images.shape
    assert np.all(found == images) == (name in ("saturation", "hue"))


def test_a_flip_mirrors_about_half_of_the_images():
    images = noise(200)
    flipped = changed(Augmentation(flip=True), images)
    mirrored = np.isclose(flipped, images[:, :, ::-1], atol=1e-5).all((1, 2, 3))
    kept = np.isclose(flipped, images, atol=1e-5).all((1, 2, 3))
    assert np.all(mirrored ^ kept)
    assert 60 < mirrored.sum() < 140


@pytest.mark.parametrize("both", [False, True])
def test_flips_alone_are_those_of_the_matrices(both):
    options = Augmentation(flip=True, vertical_flip=both)
    images, drawn = noise(50), stream(seeds(50), 1)
    matrices = geometry.transforms(options, images.shape[1], images.shape[2], drawn)
    interpolated = geometry.moved(tf.constant(images), matrices, "bilinear", 0.0)
    np.testing.assert_allclose(changed(options, images), interpolated, atol=1e-5)


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
        moved, classes = together(options, image, mask, key)
        assert classes.dtype == np.uint8
        white = changed(options, np.ones_like(image), key=key)[..., 0]
        whole = white > 1 - 1e-5
        assert np.all(classes[whole] != VOID)
        far = np.abs(moved[..., 0] * side - classes)[whole]
        assert far.max(initial=0) <= 0.5 + 1e-3
        assert np.all(classes[white == 0] == VOID)


def test_pixels_without_a_class_stay_without():
    mask = np.array([[[VOID, 0], [1, 254]]] * 8, np.uint8)
    _, classes = together(Augmentation(flip=True), np.zeros((8, 2, 2, 1), np.float32), mask)
    for one in classes.tolist():
        assert one in ([[VOID, 0], [1, 254]], [[0, VOID], [254, 1]])


@pytest.mark.parametrize("options", [Augmentation(flip=True), Augmentation(crop_padding=5)])
def test_an_image_that_is_its_mask_stays_so(options):
    """Where pixels move by whole pixels, nothing is blended."""
    mask = np.random.default_rng(0).integers(0, 2, (16, 12, 10)).astype(np.uint8)
    moved, classes = together(options, mask[..., np.newaxis].astype(np.float32), mask)
    inside = classes != VOID
    np.testing.assert_allclose(moved[..., 0][inside], classes[inside], atol=1e-5)
    assert np.all(moved[..., 0][~inside] == 0)
    assert np.any(classes != mask)


def test_a_padded_crop_moves_by_whole_pixels_in_both_directions():
    images = noise(300, side=9)
    moved = changed(Augmentation(crop_padding=2), images)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    found = set()
    for image, other in zip(padded, moved, strict=True):
        places = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.allclose(image[y : y + 9, x : x + 9], other, atol=1e-4)
        ]
        assert len(places) == 1
        found.update(places)
    assert len(found) == 25, "all crops occur"


def test_a_random_crop_has_the_area_that_is_chosen():
    """Its corners, seen in ramps, lie within the image."""
    side = 64
    ramp = np.broadcast_to(np.arange(side, dtype=np.float32) / side, (200, side, side))
    columns = changed(Augmentation(crop=0.25), ramp[..., np.newaxis])[..., 0]
    rows = changed(Augmentation(crop=0.25), ramp.swapaxes(1, 2)[..., np.newaxis])[..., 0]
    widths = (columns[:, 5, -2] - columns[:, 5, 1]) * side / (side - 3)
    heights = (rows[:, -2, 5] - rows[:, 1, 5]) * side / (side - 3)
    area = widths * heights
    assert 0.24 < area.min() < 0.35
    assert 0.8 < area.max() <= 1.01
    assert np.all((widths / heights > 0.74) & (widths / heights < 1.35))
    assert columns.min() >= 0


def test_the_operations_of_rand_augment_do_what_they_are_named_after():
    image = tf.constant(noise(1, channels=3)[0] * 0.5 + 0.25)
    strengths = (-0.8, 0.8)

    def apply(name: str, strength: float) -> np.ndarray:
        which = tf.constant([[color.OPERATIONS.index(name)]])
        by = tf.constant([[strength]])
        return color.change_pixels(image[tf.newaxis], which, by)[0].numpy()

    before = image.numpy()
    for name in ("identity", "rotate", "translate_y"):
        np.testing.assert_array_equal(apply(name, 0.5), before)
    stretched = apply("auto_contrast", 0.5)
    np.testing.assert_allclose(stretched.min((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(stretched.max((0, 1)), 1, atol=1e-5)
    for name in ("auto_contrast", "equalize"):
        even = tf.fill([1, 4, 4, 3], 0.4)
        which = tf.constant([[color.OPERATIONS.index(name)]])
        found = color.change_pixels(even, which, tf.constant([[0.5]]))
        np.testing.assert_allclose(found, even, atol=1 / 255)
    even = np.histogram(apply("equalize", 0.5), 4, (0, 1))[0]
    assert even.min() > 0.8 * even.max()
    np.testing.assert_allclose(
        apply("solarize", 0.6), np.where(before > 0.4, 1 - before, before), atol=1e-6
    )
    assert len(np.unique(apply("posterize", 1.0))) <= 16
    darker, brighter = (apply("brightness", strength).mean() for strength in strengths)
    assert darker < before.mean() < brighter
    measures: dict[str, Callable[[np.ndarray], Any]] = {
        "contrast": np.std,
        "color": lambda x: x.std(-1).mean(),
        "sharpness": lambda x: np.abs(np.diff(x, axis=0)).mean(),
    }
    for name, measure in measures.items():
        less, more = (measure(apply(name, strength)) for strength in strengths)
        assert less < measure(before) < more


def test_operations_of_rand_augment_that_move_pixels_are_small_without_magnitude():
    for name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
        which = tf.constant([[color.OPERATIONS.index(name)]])
        still, moving = (
            color.moves(which, tf.constant([[strength]]), 8, 8)[0].numpy()
            for strength in (0.0, 0.5)
        )
        np.testing.assert_allclose(still, np.eye(3), atol=1e-6)
        assert np.any(np.abs(moving - np.eye(3)) > 0.1)


def test_erasing_blackens_a_rectangle_of_about_that_fraction_of_images():
    images = np.ones((300, 20, 20, 3), np.float32)
    erased = changed(Augmentation(erasing=0.4), images)[..., 0] == 0
    some = erased.any((1, 2))
    assert 0.3 < some.mean() < 0.5
    for one in erased[some]:
        rows, columns = one.any(1), one.any(0)
        assert np.array_equal(one, rows[:, None] & columns[None])
        assert 0.005 < one.mean() < 0.45


@pytest.mark.parametrize(
    "options",
    [Augmentation(cut_mix=1.0), Augmentation(mix_up=0.4), Augmentation(0, cut_mix=1.0, mix_up=0.4)],
)
def test_mixed_labels_are_the_parts_of_the_mixed_images(options):
    """Images are as bright as their labels: class 0 is black, class 1 is white."""
    rows = 64
    labels = tf.range(rows, dtype=tf.int64) % 2
    images = tf.broadcast_to(tf.cast(labels, tf.float32)[:, None, None, None], [rows, 10, 10, 1])
    change = of_labeled_images(options, 2)
    assert change
    mixed, targets = change(images, labels, seeds(rows))
    assert targets.dtype == tf.float32
    np.testing.assert_allclose(tf.reduce_sum(targets, 1), 1, atol=1e-6)
    np.testing.assert_allclose(tf.reduce_mean(mixed, [1, 2, 3]), targets[:, 1], atol=1e-5)
    values = mixed.numpy().reshape(rows, -1)
    blended = np.any((values > 0.001) & (values < 0.999), axis=1)
    both = values.min(1) != values.max(1)
    assert np.any(blended) == bool(options.mix_up)
    assert np.any(both) == bool(options.cut_mix)
    again, _ = change(images, labels, seeds(rows))
    np.testing.assert_array_equal(mixed, again)


def test_the_parts_of_mix_up_have_a_beta_distribution():
    quantiles = (tf.range(20_000, dtype=tf.float32) + 0.5) / 20_000
    for alpha in (0.2, 1.0, 3.0):
        found = mixing._beta(alpha, quantiles).numpy()
        assert found.mean() == pytest.approx(0.5, abs=1e-3)
        assert found.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.01)


def test_cut_mix_takes_the_mask_with_the_image():
    mask = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None], 8, 1).repeat(8, 2)
    moved, classes = together(
        Augmentation(cut_mix=1.0), mask[..., None].astype(np.float32) / 20, mask
    )
    np.testing.assert_allclose(moved[..., 0] * 20, classes, atol=1e-4)
    assert np.any(classes != mask)
