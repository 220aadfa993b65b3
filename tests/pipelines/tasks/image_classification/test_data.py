"""Labeled images: from builders and folders to uint8 tensors of one shape."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.image.preprocessing import resize
from pipelines.tasks.image_classification.data import load
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
