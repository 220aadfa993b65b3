"""The bundled digits: whole, in fixed splits, equal to what scikit-learn ships."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

SIZES = {"train": 1157, "validation": 243, "test": 397}


@pytest.fixture(scope="module")
def splits(digits_dir) -> dict[str, list[tuple[np.ndarray, int]]]:
    return {
        split: list(
            tfds.as_numpy(
                tfds.load("digits", split=split, data_dir=str(digits_dir), as_supervised=True)
            )
        )
        for split in SIZES
    }


def test_each_split_has_its_size(splits):
    assert {split: len(examples) for split, examples in splits.items()} == SIZES


@pytest.mark.parametrize("split", SIZES)
def test_images_are_uint8_over_the_whole_range(splits, split):
    images = np.stack([image for image, _ in splits[split]])
    assert images.dtype == np.uint8
    assert images.shape[1:] == (8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)
    # Each digit comes about as often as the others.
    counts = np.bincount([label for _, label in splits[split]], minlength=10)
    assert counts.min() > 0.8 * counts.mean()


def test_the_splits_are_the_images_of_scikit_learn_each_once(splits):
    """A split has its own range of the images, in any order."""
    raw = load_digits()
    start = 0
    for split, size in SIZES.items():
        indices = slice(start, start + size)
        expected = sorted(
            (np.rint(image / 16 * 255).astype(int).ravel().tolist(), label)
            for image, label in zip(raw.images[indices], raw.target[indices], strict=True)
        )
        found = sorted((image.ravel().tolist(), label) for image, label in splits[split])
        assert found == expected, split
        start += size
    assert start == len(raw.target)


def test_no_image_is_in_two_splits(splits):
    seen = [{image.tobytes() for image, _ in examples} for examples in splits.values()]
    assert len(set.union(*seen)) == sum(map(len, seen))


def test_reading_repeats_the_order(digits_dir, splits):
    again = tfds.load("digits", split="train", data_dir=str(digits_dir), as_supervised=True)
    assert isinstance(again, tf.data.Dataset)
    for (image, label), (first, truth) in zip(
        again.take(50).as_numpy_iterator(), splits["train"], strict=False
    ):
        np.testing.assert_array_equal(image, first)
        assert label == truth
