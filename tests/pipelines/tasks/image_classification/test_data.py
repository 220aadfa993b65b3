"""Labeled images: from builders and folders to uint8 tensors of one shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.errors import UserError
from pipelines.image.config import Augmentation, ImageConfig
from pipelines.image.preprocessing import resize
from pipelines.recipe import Recipe
from pipelines.tasks.image_classification.data import load
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.training import batching
from tests.pipelines.datasets.test_loading import numbers


def test_the_digits_are_read_unchanged(digits_dir):
    data = load(ImageConfig(dataset="digits", data_dir=str(digits_dir)))
    assert (data.name, data.version) == ("digits", "1.0.0")
    assert data.sizes == {"train": 1157, "validation": 243, "test": 397}
    assert data.image_shape == (8, 8, 1)
    assert data.example_bytes == 64
    assert data.class_names == tuple("0123456789")
    for split, size in data.sizes.items():
        examples = list(data.split(split).as_numpy_iterator())
        assert len(examples) == size
        assert examples[0][0].dtype == np.uint8
        assert examples[0][1].dtype == np.int64


def test_image_size_resizes_bundled_images(digits_dir):
    config = ImageConfig(dataset="digits", data_dir=str(digits_dir), image_size=5)
    resized, original = load(config), load(replace(config, image_size=0))
    (small, label), (image, truth) = (next(iter(data.validation)) for data in (resized, original))
    assert label == truth
    np.testing.assert_array_equal(small, resize(image, (5, 5, 1)))


def test_a_data_set_without_images_is_an_error_that_lists_its_features(tmp_path):
    numbers("train", tmp_path)
    with pytest.raises(UserError, match=r"numbers has no image with a class label; .*: number$"):
        load(ImageConfig(dataset="numbers/train", data_dir=str(tmp_path)))


class TwoLabels(tfds.core.GeneratorBasedBuilder):
    """Images with a coarse and a fine label; the fine one is the target."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First."}

    def _info(self):
        features = {
            "coarse": tfds.features.ClassLabel(names=["animal"]),
            "fine": tfds.features.ClassLabel(names=["cat", "dog"]),
            "image": tfds.features.Image(shape=(2, 2, 1)),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "fine")
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in ("train", "validation", "test")}

    def _generate_examples(self):
        for number in range(4):
            image = np.full((2, 2, 1), number, np.uint8)
            yield number, {"image": image, "coarse": 0, "fine": number % 2}


def test_of_two_labels_the_supervised_one_is_the_target(tmp_path):
    tfds.disable_progress_bar()
    tfds.builder("two_labels", data_dir=str(tmp_path)).download_and_prepare()
    data = load(ImageConfig(dataset="two_labels", data_dir=str(tmp_path)))
    assert data.class_names == ("cat", "dog")
    assert {int(image[0, 0, 0]) % 2 == int(label) for image, label in data.train} == {True}


def folder_of_boards(folder: Path) -> Path:
    """Images of black and white pixels in turns, of two sizes, in two classes."""
    for label in ("large", "small"):
        (folder / label).mkdir(parents=True)
        for number in range(10):
            side = {"large": 64, "small": 32}[label] + number
            pixels = 255 * (np.indices((side, side)).sum(0) % 2)
            image = tf.constant(pixels[..., np.newaxis], tf.uint8)
            (folder / label / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    return folder


def test_random_crops_are_cut_from_the_original_images(tmp_path):
    config = ImageConfig(
        dataset=str(folder_of_boards(tmp_path / "boards")),
        image_size=16,
        augmentation=Augmentation(crop=0.03),
        recipe=Recipe(epochs=2, batch_size=64),
    )
    task = ImageClassification(config)
    data = task.load()
    assert task.augment(data) is None, "they would be cropped twice"
    whole, crops = (list(part.as_numpy_iterator()) for part in (data.train, data.epoch(0)))
    assert [label for _, label in crops] == [label for _, label in whole]
    # Of the whole image, squeezed, nothing but gray is left.
    assert max(image.std() for image, _ in whole) < 10
    assert max(image.std() for image, _ in crops) > 40
    first, second = (
        {row.tobytes() for row in np.round(255 * images).astype(np.uint8)}
        for images, _ in batching.training_batches(task, data).as_numpy_iterator()
    )
    assert first == {image.tobytes() for image, _ in crops}
    assert len(second - first) > len(first) / 2


@pytest.mark.parametrize(("size", "crops"), [(5, True), (0, False), (8, False)])
def test_images_that_are_not_resized_are_cropped_in_batches(digits_dir, size, crops):
    crop = Augmentation(crop=0.5)
    data = load(
        ImageConfig(dataset="digits", data_dir=str(digits_dir), image_size=size, augmentation=crop)
    )
    assert (data.example_bytes is None) == bool(data.crops) == crops
    ((image, label),) = data.epoch(3).take(1).as_numpy_iterator()
    ((whole, truth),) = data.train.take(1).as_numpy_iterator()
    assert (image.shape, label) == (whole.shape, truth)
    assert np.array_equal(image, whole) == (not crops)
