"""Labelled images: uint8 0-255 from the builder on, in tensors, in files and over the wire."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines import datasets
from pipelines.errors import UserError
from pipelines.recipe import Config


@dataclass(frozen=True)
class LabelledImages:
    """A data set of images with one label each.

    Attributes:
        name: TFDS name.
        version: Version of the data set.
        digest: Fingerprint of the prepared files.
        sizes: Number of examples in train, validation and test.
        image_shape: (height, width, channels) after resizing.
        class_names: Names in the order of the labels.
        train: (uint8 [height, width, channels], int64 []) examples, unbatched, as the others.
        validation: What choices look at.
        test: What is reported, once.
    """

    name: str
    version: str
    digest: str
    sizes: dict[str, int]
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset

    @property
    def example_bytes(self) -> int:
        """Size of one image in memory."""
        return math.prod(self.image_shape)


def resize(image: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Resizes images to `shape`, bilinear with antialiasing, and leaves those that fit alone.

    Args:
        image: uint8 [..., height, width, channels].
        shape: (height, width, channels) to end with; channels must already agree.

    Returns:
        uint8 [..., *shape].
    """
    if image.shape[-3:] == shape:
        return image
    resized = tf.image.resize(image, shape[:2], antialias=True)
    resized = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
    resized.set_shape((*image.shape[:-3], *shape))
    return resized


def load(config: Config) -> LabelledImages:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The set cannot be had, is no labelled image set, or mixes image sizes while
            `image_size` is 0.
    """
    builder = datasets.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    image, label = _features(builder)
    height, width, channels = builder.info.features[image].shape
    if config.image_size:
        height = width = config.image_size
    if None in (height, width):
        raise UserError(
            f"the images of {builder.name} differ in size; choose one, as --image_size 128"
        )
    shape = (height, width, channels)

    def example(features):
        return resize(features[image], shape), features[label]

    def read(split: str) -> tf.data.Dataset:
        return builder.as_dataset(split=split).map(example, num_parallel_calls=tf.data.AUTOTUNE)

    chosen = datasets.splits(builder)
    return LabelledImages(
        name=datasets.name(builder),
        version=str(builder.info.version),
        digest=datasets.digest(builder),
        sizes={
            "train": builder.info.splits[chosen.train].num_examples,
            "validation": builder.info.splits[chosen.validation].num_examples,
            "test": builder.info.splits[chosen.test].num_examples,
        },
        image_shape=shape,
        class_names=tuple(builder.info.features[label].names),
        train=read(chosen.train),
        validation=read(chosen.validation),
        test=read(chosen.test),
    )


def _features(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the image and of the label among the set's features."""
    features = builder.info.features
    images = [k for k, v in features.items() if isinstance(v, tfds.features.Image)]
    labels = [k for k, v in features.items() if isinstance(v, tfds.features.ClassLabel)]
    # Sets with several of a kind (coarse and fine labels) say which two belong together.
    pair = builder.info.supervised_keys or ()
    images = [k for k in images if k in pair] or images
    labels = [k for k in labels if k in pair] or labels
    if not images or not labels:
        raise UserError(
            f"{builder.name} has no image with a class label; its features are: "
            f"{', '.join(features)}"
        )
    if builder.info.features[images[0]].np_dtype != np.uint8:
        raise UserError(f"the images of {builder.name} are not uint8")
    return images[0], labels[0]
