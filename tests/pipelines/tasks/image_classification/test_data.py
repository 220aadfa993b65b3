"""Labelled images: from builders and folders to uint8 tensors of one shape."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.tasks.image_classification import data as images
from tests.pipelines.datasets.test_loading import folder_of_images, numbers

SIDE = st.integers(1, 9)
IMAGES = st.tuples(SIDE, SIDE, st.sampled_from([1, 3])).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape)
)


@settings(max_examples=25)
@given(image=IMAGES, height=SIDE, width=SIDE)
def test_resizing_gives_the_shape_and_invents_no_brightness(image, height, width):
    shape = (height, width, image.shape[-1])
    resized = images.resize(tf.constant(image), shape)
    assert resized.dtype == tf.uint8
    assert tuple(resized.shape) == shape
    assert image.min() <= resized.numpy().min()
    assert resized.numpy().max() <= image.max()


@settings(max_examples=15)
@given(image=IMAGES)
def test_an_image_that_fits_is_left_alone(image):
    np.testing.assert_array_equal(images.resize(tf.constant(image), image.shape), image)
    # Also where its shape is not known before it is there, as after decoding.
    later = tf.function(
        lambda x: images.resize(x, image.shape),
        input_signature=[tf.TensorSpec([None, None, image.shape[-1]], tf.uint8)],
    )
    np.testing.assert_array_equal(later(image), image)


def test_shrinking_averages_instead_of_picking_pixels():
    checkerboard = np.indices((45, 45)).sum(0) % 2 * 255
    image = checkerboard[..., None].astype(np.uint8)
    # Every fifth pixel would be black or white.
    small = images.resize(tf.constant(image), (9, 9, 1)).numpy()
    assert abs(small[1:-1, 1:-1].astype(int) - 128).max() < 16


def test_batches_are_resized_like_single_images():
    batch = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), np.uint8)
    together = images.resize(tf.constant(batch), (4, 4, 3))
    assert tuple(together.shape) == (4, 4, 4, 3)
    for image, resized in zip(batch, together, strict=True):
        np.testing.assert_array_equal(images.resize(tf.constant(image), (4, 4, 3)), resized)


def test_the_digits_come_as_they_are(digits_dir):
    data = images.load(ImageConfig(dataset="digits", data_dir=str(digits_dir)))
    assert (data.name, data.version) == ("digits", "1.0.0")
    assert data.sizes == {"train": 1157, "validation": 243, "test": 397}
    assert data.image_shape == (8, 8, 1)
    assert data.example_bytes == 64
    assert data.class_names == tuple("0123456789")
    for split, size in data.sizes.items():
        examples = list(getattr(data, split).as_numpy_iterator())
        assert len(examples) == size
        assert examples[0][0].dtype == np.uint8
        assert examples[0][1].dtype == np.int64


def test_a_folder_of_images_is_read_and_resized(tmp_path):
    folder = folder_of_images(tmp_path / "pets")
    Image.new("L", (9, 3), 50).save(folder / "train/dog/wide.jpg")
    data = images.load(ImageConfig(dataset=str(folder), image_size=4))
    assert data.name == "pets"
    assert data.class_names == ("cat", "dog")
    assert data.sizes == {"train": 7, "validation": 6, "test": 6}
    assert data.image_shape == (4, 4, 3)
    assert tuple(data.train.element_spec[0].shape) == (4, 4, 3)
    found = sorted((int(label), tuple(image[2, 2])) for image, label in data.train)
    assert found == [
        *((0, (0, 40 * number, 7)) for number in range(3)),
        (1, (50, 50, 50)),
        *((1, (100, 40 * number, 7)) for number in range(3)),
    ]


def test_image_size_resizes_prepared_sets_too(digits_dir):
    config = ImageConfig(dataset="digits", data_dir=str(digits_dir), image_size=5)
    data, whole = images.load(config), images.load(replace(config, image_size=0))
    (small, label), (image, truth) = (next(iter(d.validation)) for d in (data, whole))
    assert label == truth
    np.testing.assert_array_equal(small, images.resize(image, (5, 5, 1)))


def test_images_of_several_sizes_need_a_chosen_one(tmp_path):
    folder = folder_of_images(tmp_path / "pets")
    with pytest.raises(UserError, match="differ in size; choose one, as --image_size 128"):
        images.load(ImageConfig(dataset=str(folder)))


def test_a_folder_that_lacks_validation_is_refused(tmp_path):
    folder = folder_of_images(tmp_path / "pets", ("train", "test"))
    with pytest.raises(UserError, match="needs the folders train, validation and test"):
        images.load(ImageConfig(dataset=str(folder), image_size=4))


def test_a_set_without_images_is_refused_with_its_features(tmp_path):
    numbers("train", tmp_path)
    with pytest.raises(UserError, match=r"numbers has no image with a class label; .*: number$"):
        images.load(ImageConfig(dataset="numbers/train", data_dir=str(tmp_path)))


class TwoLabels(tfds.core.GeneratorBasedBuilder):
    """Images with a coarse and a fine label, of which the fine one is the target."""

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


def test_of_two_labels_the_one_that_the_set_names_is_learned(tmp_path):
    tfds.disable_progress_bar()
    tfds.builder("two_labels", data_dir=str(tmp_path)).download_and_prepare()
    data = images.load(ImageConfig(dataset="two_labels", data_dir=str(tmp_path)))
    assert data.class_names == ("cat", "dog")
    assert {int(image[0, 0, 0]) % 2 == int(label) for image, label in data.train} == {True}
