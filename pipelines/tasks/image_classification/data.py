"""Labelled images: uint8 0-255 from the builder on, in tensors, in files and over the wire."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.config import Augmentation, ImageConfig
from pipelines.datasets import loading
from pipelines.errors import UserError


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

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """No columns: images stay on disk."""
        return {}


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


def decode(encoded: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes PNG, JPEG, GIF or BMP strings [batch] to uint8 [batch, *shape], resizing."""

    def one(string: tf.Tensor) -> tf.Tensor:
        # GIF and BMP decode to colours only.
        channels = max(shape[-1], 3)
        image = tf.io.decode_image(string, channels=channels, expand_animations=False)
        image.set_shape([None, None, channels])
        if shape[-1] == 1:
            image = tf.image.rgb_to_grayscale(image)
        return resize(image, shape)

    return tf.map_fn(one, encoded, fn_output_signature=tf.TensorSpec(shape, tf.uint8))


def first(examples: tf.data.Dataset, count: int) -> np.ndarray:
    """Returns the inputs of the first `count` examples as one array."""
    return np.stack([example[0] for example in examples.take(count).as_numpy_iterator()])


def at(examples: tf.data.Dataset, indices: Collection[int]) -> dict[int, np.ndarray]:
    """Returns the inputs of the examples at some places, by place."""
    wanted = {int(index) for index in indices}
    if not wanted:
        return {}
    return {
        index: example[0]
        for index, example in enumerate(examples.take(max(wanted) + 1).as_numpy_iterator())
        if index in wanted
    }


def augmentation(
    choice: Augmentation, seed: int, *, fill: float = 0.0
) -> Callable[[Any], Any] | None:
    """Returns random changes of preprocessed images, float32; black fills what moves in.

    They take a batch of images or, as Keras' layers do, {"images": …, "segmentation_masks": …};
    masks, [batch, height, width, 1], move along with their images, nearest pixel by nearest pixel.
    """
    shift, rotation, zoom = choice.shift, choice.rotation, choice.zoom
    layers = keras.layers
    constant = {"fill_mode": "constant", "fill_value": fill}
    steps = [
        layers.RandomTranslation(shift, shift, seed=seed, **constant),
        layers.RandomRotation(rotation, seed=seed + 1, **constant),
        layers.RandomZoom(zoom, zoom, seed=seed + 2, **constant),
        layers.RandomFlip("horizontal", seed=seed + 3),
    ]
    wanted = (shift, rotation, zoom, choice.flip)
    chosen = [step for step, want in zip(steps, wanted, strict=True) if want]
    if not chosen:
        return None

    def change(images: Any) -> Any:
        for step in chosen:
            images = step(images, training=True)
        return images

    return change


def load(config: ImageConfig) -> LabelledImages:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The set cannot be had, is no labelled image set, or mixes image sizes while
            `image_size` is 0.
    """
    builder = loading.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    image, label = _features(builder)
    shape = chosen_shape(builder, image, config.image_size)

    def example(features):
        return resize(features[image], shape), features[label]

    def read(split: str) -> tf.data.Dataset:
        return builder.as_dataset(split=split).map(example, num_parallel_calls=tf.data.AUTOTUNE)

    chosen = loading.splits(builder)
    return LabelledImages(
        name=loading.name(builder),
        version=str(builder.info.version),
        digest=loading.digest(builder),
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


def chosen_shape(
    builder: tfds.core.DatasetBuilder, image: str, image_size: int
) -> tuple[int, int, int]:
    """Returns (height, width, channels) of a set's images after resizing.

    Raises:
        UserError: The images are not uint8, or differ in size while `image_size` is 0.
    """
    feature = builder.info.features[image]
    if feature.np_dtype != np.uint8:
        raise UserError(f"the images of {builder.name} are not uint8")
    height, width, channels = feature.shape
    if image_size:
        height = width = image_size
    if None in (height, width):
        raise UserError(
            f"the images of {builder.name} differ in size; choose one, as --image_size 128"
        )
    return height, width, channels


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
    return images[0], labels[0]
