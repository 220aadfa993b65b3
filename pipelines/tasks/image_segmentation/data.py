"""Images with a class for every pixel: uint8 images and, beside each, a uint8 mask as large."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.tasks.image_classification import data as images

# The value of pixels that belong to no class: nothing is learned from them, nor scored on them.
VOID = 255

# What the values of published masks mean.
_PUBLISHED = {
    # Parkhi et al., "Cats and Dogs", 2012: trimaps.
    "oxford_iiit_pet": {1: "pet", 2: "background", 3: "border"},
}

_NAMES_OF_MASKS = ("mask", "segmentation", "annotation", "label")


@dataclass(frozen=True)
class SegmentedImages:
    """A data set of images with one mask each.

    Attributes:
        name: TFDS name.
        version: Version of the data set.
        digest: Fingerprint of the prepared files.
        sizes: Number of examples in train, validation and test.
        image_shape: (height, width, channels) after resizing.
        class_names: Names in the order of the masks' values.
        train: (uint8 [height, width, channels], uint8 [height, width]) examples, unbatched, as
            the others; a mask holds classes, and `VOID` where there is none.
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
        """Size of one image and its mask in memory."""
        height, width, channels = self.image_shape
        return math.prod((height, width, channels + 1))

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """No columns: images stay on disk."""
        return {}


def load(config: ImageConfig) -> SegmentedImages:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The set cannot be had, has no image with a mask, or mixes image sizes while
            `image_size` is 0.
    """
    builder = loading.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    image, mask = _features(builder)
    shape = images.chosen_shape(builder, image, config.image_size)
    chosen = loading.splits(builder)
    splits = {"train": chosen.train, "validation": chosen.validation, "test": chosen.test}
    names = _class_names(builder, mask, splits.values())
    numbers = np.full(256, VOID, np.uint8)
    numbers[list(names)] = range(len(names))

    def example(features):
        classes = tf.gather(numbers, tf.cast(features[mask][..., 0], tf.int32))
        return images.resize(features[image], shape), resize(classes, shape[:2])

    def read(split: str) -> tf.data.Dataset:
        return builder.as_dataset(split=split).map(example, num_parallel_calls=tf.data.AUTOTUNE)

    return SegmentedImages(
        name=loading.name(builder),
        version=str(builder.info.version),
        digest=loading.digest(builder),
        sizes={name: builder.info.splits[split].num_examples for name, split in splits.items()},
        image_shape=shape,
        class_names=tuple(names.values()),
        **{name: read(split) for name, split in splits.items()},
    )


def resize(mask: tf.Tensor, size: Any) -> tf.Tensor:
    """Resizes a mask, uint8 [height, width]: each pixel takes the class of the nearest one."""
    return tf.image.resize(mask[..., tf.newaxis], size, method="nearest")[..., 0]


def moving_together(
    change: Callable[[Any], Any],
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Returns `change`, an `images.augmentation`, for images and their masks.

    What moves in from outside an image is `VOID` in its mask.

    Returns:
        A function of float32 [batch, height, width, channels] and uint8 [batch, height, width].
    """

    def both(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Keras fills masks and images with the same value, 0. One more makes VOID a 0 and back.
        shifted = tf.cast(mask + 1, tf.float32)[..., tf.newaxis]
        moved = change({"images": image, "segmentation_masks": shifted})
        return moved["images"], tf.cast(moved["segmentation_masks"][..., 0], tf.uint8) - 1

    return both


def _features(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the image and of the mask among the set's features."""
    features = builder.info.features
    # Stored sets give their features in any order.
    pictures = sorted(k for k, v in features.items() if isinstance(v, tfds.features.Image))
    pair = [k for k in builder.info.supervised_keys or () if k in pictures]
    labelled = [
        k
        for k in pictures
        if isinstance(features[k], tfds.features.LabeledImage)
        or any(part in k for part in _NAMES_OF_MASKS)
    ]
    others = [k for k in pictures if k not in labelled]
    if len(pair) < 2 and not (labelled and others):
        raise UserError(
            f"{builder.name} has no image with a mask; its features are: "
            f"{', '.join(sorted(features))}"
        )
    # Beside the image there may be depths and the like.
    others.sort(key=lambda k: "image" not in k)
    image, mask = pair if len(pair) == 2 else (others[0], labelled[0])
    if features[mask].shape[-1] != 1 or features[mask].np_dtype != np.uint8:
        raise UserError(f"the masks of {builder.name} are not uint8 with one channel")
    return image, mask


def _class_names(builder: tfds.core.DatasetBuilder, mask: str, splits: Any) -> Mapping[int, str]:
    """Returns the name of each value of the masks that is a class, in the order of the values.

    Where nobody has said them, classes are the values that occur, `VOID` not among them.
    """
    if builder.name in _PUBLISHED:
        return _PUBLISHED[builder.name]
    if names := getattr(builder.info.features[mask], "names", None):
        return dict(enumerate(names))
    seen = np.zeros(256, bool)
    only_mask = tfds.decode.PartialDecoding({mask: True})
    for split in splits:
        read = builder.as_dataset(split=split, decoders=only_mask)
        values = read.map(
            lambda example: (
                tf.math.bincount(
                    tf.reshape(tf.cast(example[mask], tf.int32), [-1]), minlength=256, maxlength=256
                )
                > 0
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        seen |= values.reduce(np.zeros(256, bool), tf.logical_or).numpy()
    found = np.flatnonzero(seen)
    if len(found) > 2:  # In masks of two values, 255 is often the white of the foreground.
        found = found[found != VOID]
    if len(found) < 2:
        raise UserError(f"the masks of {builder.name} hold no two classes")
    return {int(value): f"class {value}" for value in found}
