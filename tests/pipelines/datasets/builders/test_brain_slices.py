"""Slices of a head: masks of two classes, blocks apart, pixels as the extract has them."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipelines.datasets import extracts
from pipelines.datasets.builders import brain_slices


@pytest.fixture(scope="module")
def splits(examples) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        split: (
            np.stack([member["image"] for member in members]),
            np.stack([member["segmentation_mask"] for member in members]),
        )
        for split, members in examples("brain_slices").items()
    }


def test_images_and_masks_are_uint8_and_can_be_halved_four_times(splits):
    for images, masks in splits.values():
        for pixels in (images, masks):
            assert pixels.dtype == np.uint8
            assert pixels.shape[1:] == (96, 112, 1)
        assert images.max() > 100


def test_masks_hold_two_classes_and_a_tenth_to_half_is_brain(splits):
    for _, masks in splits.values():
        assert set(np.unique(masks)) == {0, 1}
        assert 0.1 < masks.mean() < 0.5
        assert masks.mean((1, 2, 3)).min() > 0.01


def test_the_feature_names_the_classes(bundled):
    info = bundled("brain_slices").info
    assert info.features["segmentation_mask"].names == list(brain_slices.CLASS_NAMES)
    assert info.supervised_keys == ("image", "segmentation_mask")


def test_the_names_of_the_classes_outlive_the_builder(bundled):
    again = tfds.builder_from_directory(bundled("brain_slices").data_path)
    assert again.info.features["segmentation_mask"].names == ["background", "brain"]


def test_brain_is_brighter_than_what_is_around_it(splits):
    for images, masks in splits.values():
        assert images[masks == 1].mean() > 2 * images[masks == 0].mean()


def test_slices_are_those_of_the_extract_in_the_middle_of_zeros(splits):
    heads, masks = np.load(io.BytesIO(extracts.read("brain_slices.npy")))
    for split, (found, found_masks) in splits.items():
        chosen = brain_slices.slices_of(split, len(heads))
        for pixels, source in ((found, heads), (found_masks, masks)):
            padded = np.pad(source[chosen], ((0, 0), (2, 3), (1, 2)))[..., None]
            assert sorted(map(bytes, pixels)) == sorted(map(bytes, padded))


@pytest.mark.parametrize("count", [140, 24, 7])
def test_splits_are_blocks_of_10_with_2_between_them(count):
    chosen = {
        split: brain_slices.slices_of(split, count) for split in ("train", "validation", "test")
    }
    owner = {index: split for split, indices in chosen.items() for index in indices}
    assert len(owner) == sum(map(len, chosen.values()))
    for (before, left), (after, right) in itertools.pairwise(sorted(owner.items())):
        assert after - before == (3 if after % 12 == 0 else 1)
        assert left == right or after - before == 3
