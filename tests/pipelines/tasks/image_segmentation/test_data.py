"""Images with masks: their features and their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.errors import UserError
from pipelines.image.config import Augmentation
from pipelines.image.preprocessing import resize
from pipelines.tasks.image_segmentation import data as masks
from pipelines.tasks.image_segmentation.config import SegmentationConfig
from pipelines.tasks.image_segmentation.data import IGNORE_ID
from pipelines.tasks.image_segmentation.task import ImageSegmentation

SPLITS = ("train", "validation", "test")
IMAGE = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
MASK = tfds.features.Image(shape=(None, None, 1), encoding_format="png")


def store(folder: Path, name: str, features: dict[str, Any], *examples: Any, splits=SPLITS) -> str:
    """Stores examples of images with masks as a TFDS data set and returns its name."""
    tfds.disable_progress_bar()
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="4.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(examples)) for split in splits},
        data_dir=str(folder),
        disable_shuffling=True,
    )
    return name


def load(folder: Path, name: str, image_size: int = 0) -> masks.SegmentedImages:
    return masks.load(SegmentationConfig(dataset=name, data_dir=str(folder), image_size=image_size))


def image_of(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


def pair(mask: Any) -> dict[str, np.ndarray]:
    """Returns an example: a mask with an image of its size."""
    values = np.array(mask, np.uint8)[..., None]
    return {"image": image_of(*values.shape[:2]), "mask": values}


def test_pets_have_three_named_classes_and_one_size(tmp_path):
    """As published: sizes differ, masks have the values 1 to 3, splits are train and test."""
    builder = tfds.builder("oxford_iiit_pet", data_dir=str(tmp_path))
    quarters = np.repeat(np.repeat([[1, 2], [3, 3]], 4, 0), 6, 1)
    examples = [
        {
            "image": image_of(*mask.shape),
            "segmentation_mask": mask[..., None].astype(np.uint8),
            "label": 0,
            "species": 1,
            "file_name": "a",
            "head_bbox": tfds.features.BBox(0.0, 0.0, 1.0, 1.0),
        }
        for mask in [quarters, quarters.T] * 10
    ]
    features = dict(builder.info.features.items())
    store(tmp_path, "oxford_iiit_pet", features, *examples, splits=("train", "test"))
    data = load(tmp_path, "oxford_iiit_pet", image_size=4)
    assert data.name == "oxford_iiit_pet"
    assert data.class_names == ("pet", "background", "border")
    assert data.sizes == {"train": 18, "validation": 2, "test": 20}
    assert data.image_shape == (4, 4, 3)
    assert data.example_bytes == 64
    found = {mask.tobytes() for _, mask in data.test.as_numpy_iterator()}
    small = np.repeat(np.repeat([[0, 1], [2, 2]], 2, 0), 2, 1).astype(np.uint8)
    assert found == {small.tobytes(), np.ascontiguousarray(small.T).tobytes()}
    with pytest.raises(UserError, match="differ in size; choose one, as --image_size 128"):
        load(tmp_path, "oxford_iiit_pet")


def test_images_are_resized_bilinearly_and_masks_by_nearest_neighbor(tmp_path):
    example = pair(np.indices((9, 12)).sum(0) % 2 * 7)
    data = load(tmp_path, store(tmp_path, "checkered", {"image": IMAGE, "mask": MASK}, example), 5)
    assert data.class_names == ("class 0", "class 7")
    for split in (data.train, data.validation, data.test):
        assert [tuple(spec.shape) for spec in split.element_spec] == [(5, 5, 3), (5, 5)]
        ((image, mask),) = split.as_numpy_iterator()
        assert (image.dtype, mask.dtype) == (np.uint8, np.uint8)
        np.testing.assert_array_equal(image, resize(tf.constant(example["image"]), (5, 5, 3)))
        rows, columns = (np.arange(5) + 0.5) * 9 // 5, (np.arange(5) + 0.5) * 12 // 5
        expected = np.add.outer(rows.astype(int), columns.astype(int)) % 2
        np.testing.assert_array_equal(mask, expected)


def test_random_crops_are_cut_from_the_original_image_and_its_mask(tmp_path):
    """Images are as bright as their classes, in blocks."""
    classes = np.random.default_rng(0).integers(0, 3, (4, 6)).repeat(24, 0).repeat(24, 1)
    example = {
        "image": (100 * classes[..., None]).astype(np.uint8).repeat(3, 2),
        "mask": classes[..., None].astype(np.uint8),
    }
    name = store(tmp_path, "blocks", {"image": IMAGE, "mask": MASK}, *[example] * 6)
    config = SegmentationConfig(
        dataset=name,
        data_dir=str(tmp_path),
        image_size=12,
        augmentation=Augmentation(crop=0.02),
    )
    task = ImageSegmentation(config)
    data = task.load()
    assert task.augment(data) is None, "they would be cropped twice"
    images, crops = (
        np.stack(each) for each in zip(*data.epoch(0).as_numpy_iterator(), strict=True)
    )
    assert (images.shape, crops.shape) == ((6, 12, 12, 3), (6, 12, 12))
    assert len(np.unique(crops, axis=0)) > 3
    alike = np.abs(images[..., 0] / 100 - crops) < 0.3
    assert alike.mean() > 0.7


def test_classes_are_the_values_that_occur_in_any_split(tmp_path):
    examples = [pair([[3, 3], [9, IGNORE_ID]]), pair([[3, 40], [3, 3]])]
    name = store(tmp_path, "numbered", {"image": IMAGE, "mask": MASK}, *examples)
    data = load(tmp_path, name, image_size=2)
    assert data.class_names == ("class 3", "class 9", "class 40")
    found = [mask.tolist() for _, mask in data.test.as_numpy_iterator()]
    assert found == [[[0, 0], [1, IGNORE_ID]], [[0, 2], [0, 0]]]


def test_white_is_a_class_in_masks_of_black_and_white(tmp_path):
    name = store(tmp_path, "stencils", {"image": IMAGE, "mask": MASK}, pair([[0, 255], [0, 0]]))
    data = load(tmp_path, name, image_size=2)
    assert data.class_names == ("class 0", "class 255")
    assert next(data.test.as_numpy_iterator())[1].tolist() == [[0, 1], [0, 0]]


def test_class_names_are_those_of_the_feature(tmp_path):
    names = ["background", "cell", "nucleus"]
    features = {
        "scan": tfds.features.Image(shape=(2, 2, 1)),
        "truth": tfds.features.LabeledImage(labels=names, shape=(2, 2, 1)),
    }
    mask = np.array([[0, 1], [1, 0]], np.uint8)[..., None]
    # Its name does not tell that it is a mask, but its type does.
    data = load(tmp_path, store(tmp_path, "cells", features, {"scan": mask, "truth": mask}))
    assert data.class_names == tuple(names)
    assert data.image_shape == (2, 2, 1)


class Paired(tfds.core.GeneratorBasedBuilder):
    """Two images; only the supervised keys tell which is the mask."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First."}

    def _info(self):
        image = tfds.features.Image(shape=(2, 2, 1))
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"a": image, "b": image}),
            supervised_keys=("b", "a"),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in SPLITS}

    def _generate_examples(self):
        mask = np.array([[0, 1], [1, 1]], np.uint8)[..., None]
        yield 0, {"a": mask, "b": mask + np.uint8(200)}


def test_the_supervised_keys_decide_which_image_is_the_mask(tmp_path):
    tfds.disable_progress_bar()
    tfds.builder("paired", data_dir=str(tmp_path)).download_and_prepare()
    ((image, mask),) = load(tmp_path, "paired").train.as_numpy_iterator()
    assert mask.tolist() == [[0, 1], [1, 1]]
    assert image.min() >= 200


def test_the_image_is_found_among_other_images_in_any_order(tmp_path):
    example = {**pair([[0, 1], [1, 1]]), "depth": image_of(2, 2, 1)}
    example["image_left"] = example.pop("image")
    features = {"depth": MASK, "mask": MASK, "image_left": IMAGE}
    data = load(tmp_path, store(tmp_path, "street", features, example), image_size=2)
    ((image, mask),) = data.train.as_numpy_iterator()
    np.testing.assert_array_equal(image, example["image_left"])
    assert mask.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("name", "features", "example", "message"),
    [
        (
            "unmasked",
            {"image": IMAGE, "depth": MASK},
            {"image": image_of(2, 2), "depth": image_of(2, 2, 1)},
            "unmasked has no image with a mask; its features are: depth, image",
        ),
        (
            "colored",
            {"image": IMAGE, "mask": IMAGE},
            {"image": image_of(2, 2), "mask": image_of(2, 2)},
            "the masks of colored are not uint8 with one channel",
        ),
        (
            "uniform",
            {"image": IMAGE, "mask": MASK},
            pair([[4, 4], [4, 4]]),
            "the masks of uniform have fewer than two classes",
        ),
    ],
)
def test_a_data_set_without_usable_masks_is_an_error(name, features, example, message, tmp_path):
    store(tmp_path, name, features, example)
    with pytest.raises(UserError, match=message):
        load(tmp_path, name, image_size=2)


def test_a_data_set_of_labeled_images_is_an_error(digits_dir):
    with pytest.raises(UserError, match="digits has no image with a mask"):
        load(digits_dir, "digits")


def test_the_bundled_slices_are_read_unchanged(tmp_path):
    data = load(tmp_path, "brain_slices")
    assert (data.name, data.class_names) == ("brain_slices", ("background", "brain"))
    assert data.image_shape == (96, 112, 1)
    for split, size in data.sizes.items():
        examples = list(data.split(split).as_numpy_iterator())
        assert len(examples) == size
        assert set(np.unique([mask for _, mask in examples])) == {0, 1}
