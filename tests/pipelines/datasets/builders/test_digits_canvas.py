"""Canvases of digits: eleven classes, boxes that do not overlap, writers in one split."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipelines.datasets.builders import digits, digits_canvas


@pytest.fixture(scope="module")
def splits(examples) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        split: (
            np.stack([member["image"] for member in members]),
            np.stack([member["segmentation_mask"] for member in members]),
        )
        for split, members in examples("digits_canvas").items()
    }


def test_images_and_masks_are_uint8_of_48_by_48(splits):
    for arrays in splits.values():
        for pixels in arrays:
            assert pixels.dtype == np.uint8
            assert pixels.shape[1:] == (48, 48, 1)


def test_every_split_has_every_class_about_as_often(splits, bundled):
    feature = bundled("digits_canvas").info.features["segmentation_mask"]
    assert feature.names == list(digits_canvas.CLASS_NAMES) == ["background", *"0123456789"]
    for _, masks in splits.values():
        fractions = np.bincount(masks.ravel(), minlength=11) / masks.size
        assert len(fractions) == 11
        assert 0.84 < fractions[0] < 0.90
        assert fractions[1:].min() > 0.6 * fractions[1:].mean()


def test_digits_are_brighter_than_their_ground_and_noise_lies_over_all(splits):
    for images, masks in splits.values():
        for image, mask in zip(images[:50], masks[:50], strict=True):
            ground, ink = image[mask == 0], image[mask > 0]
            assert ink.mean() > ground.mean() + 20
            assert len(np.unique(ground)) > 20


@pytest.mark.parametrize("split", ["validation", "test"])
def test_digits_are_those_of_the_split(split, splits):
    """The shapes in masks are enlarged digits of the same split."""
    start, stop = digits.BOUNDS[split]
    raw = load_digits()
    shapes: dict[int, set] = {label: set() for label in range(10)}
    for image, label in zip(raw.images[start:stop], raw.target[start:stop], strict=True):
        pixels = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
        large = np.asarray(pixels.resize((16, 16), Image.Resampling.BILINEAR))
        shapes[label].add(trimmed(large > digits_canvas.INK))
    known = 0
    for mask in splits[split][1][:100, ..., 0]:
        for label in set(mask[mask > 0]):
            # Two digits of a class in one mask make a shape that is none of either.
            known += trimmed(mask == label) in shapes[label - 1]
    total = sum(len(set(mask[mask > 0])) for mask in splits[split][1][:100])
    assert known > 0.8 * total


def trimmed(shape: np.ndarray) -> tuple[bytes, tuple[int, ...]]:
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    cut = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut.tobytes(), cut.shape


def test_canvases_hold_two_to_four_digits_that_do_not_overlap():
    random = np.random.RandomState(0)
    for count in (2, 3, 4):
        for _ in range(50):
            positions = digits_canvas._positions(count, random)
            assert positions.shape == (count, 2)
            assert positions.min() >= 0
            assert positions.max() <= 32
            for left, right in itertools.combinations(positions, 2):
                assert abs(left - right).max() >= 16


def test_canvases_depend_on_the_seed():
    def first(seed):
        return next(digits_canvas.canvases("test", seed))[0].tobytes()

    assert first(0) == first(0)
    assert first(0) != first(1)


def test_no_canvas_is_in_two_splits(splits):
    seen = [{image.tobytes() for image in images} for images, _ in splits.values()]
    assert len(set.union(*seen)) == 2700
