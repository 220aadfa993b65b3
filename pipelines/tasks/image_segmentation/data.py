"""Images with a class for each pixel: uint8 images, each with a uint8 mask of the same size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.datasets.dataset import SPLITS, Dataset
from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.image.examples import image_shape
from pipelines.image.preprocessing import resize

# The value of pixels without a class: they count neither in the loss nor in scores.
IGNORE_ID = 255

# Class names of published data sets by the values of their masks.
_PUBLISHED = {
    # Parkhi et al., "Cats and Dogs", 2012: trimaps.
    "oxford_iiit_pet": {1: "pet", 2: "background", 3: "border"},
}

_NAMES_OF_MASKS = ("mask", "segmentation", "annotation", "label")


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentedImages(Dataset):
    """Images with one mask each: (uint8 [height, width, channels], uint8 [height, width]) examples.

    A mask has the index of each pixel's class, and `IGNORE_ID` for pixels without a class.

    Attributes:
        image_shape: (height, width, channels) after resizing.
        class_names: Names in the order of the classes.
    """

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]


def load(config: ImageConfig) -> SegmentedImages:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The data set cannot be had, has no image with a mask, or has images of several
            sizes while `image_size` is 0.
    """
    source = loading.open_dataset(config)
    image, mask = _features(source.builder)
    shape = image_shape(source.builder, image, config.image_size)
    names = _class_names(source, mask)
    ids = np.full(256, IGNORE_ID, np.uint8)
    ids[list(names)] = range(len(names))

    def example(features: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        classes = tf.gather(ids, tf.cast(features[mask][..., 0], tf.int32))
        return resize(features[image], shape), resize_mask(classes, shape[:2])

    return SegmentedImages(
        **source.identity(),
        sizes=source.sizes(),
        image_shape=shape,
        class_names=tuple(names.values()),
        example_bytes=math.prod((*shape[:2], shape[2] + 1)),
        **{
            split: source.read(split).map(example, num_parallel_calls=tf.data.AUTOTUNE)
            for split in SPLITS
        },
    )


def resize_mask(mask: tf.Tensor, size: Any) -> tf.Tensor:
    """Resizes a mask, uint8 [height, width], to `size` by nearest-neighbor interpolation."""
    return tf.image.resize(mask[..., tf.newaxis], size, method="nearest")[..., 0]


def augment_together(
    change: Callable[[Any], Any],
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Returns `change`, as `pipelines.image.preprocessing.augmentation` returns it, for pairs.

    Mask pixels from outside the image are `IGNORE_ID`.

    Returns:
        A function of float32 images [batch, height, width, channels] and their uint8 masks
        [batch, height, width].
    """

    def both(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Keras fills masks with the same value as images, 0. Adding 1 turns IGNORE_ID into 0.
        shifted = tf.cast(mask + 1, tf.float32)[..., tf.newaxis]
        changed = change({"images": image, "segmentation_masks": shifted})
        return changed["images"], tf.cast(changed["segmentation_masks"][..., 0], tf.uint8) - 1

    return both


def _features(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the image and of the mask among a data set's features."""
    features = builder.info.features
    # Prepared data sets that are read without their builder have their features in any order.
    images = sorted(k for k, v in features.items() if isinstance(v, tfds.features.Image))
    pair = [k for k in builder.info.supervised_keys or () if k in images]
    masks = [
        k
        for k in images
        if isinstance(features[k], tfds.features.LabeledImage)
        or any(part in k for part in _NAMES_OF_MASKS)
    ]
    others = [k for k in images if k not in masks]
    if len(pair) < 2 and not (masks and others):
        raise UserError(
            f"{builder.name} has no image with a mask; its features are: "
            f"{', '.join(sorted(features))}"
        )
    # There may be other images, as depth maps.
    others.sort(key=lambda k: "image" not in k)
    image, mask = pair if len(pair) == 2 else (others[0], masks[0])
    if features[mask].shape[-1] != 1 or features[mask].np_dtype != np.uint8:
        raise UserError(f"the masks of {builder.name} are not uint8 with one channel")
    return image, mask


def _class_names(source: loading.Source, mask: str) -> Mapping[int, str]:
    """Returns the name of each value of the masks that is a class, in the order of the values.

    Without published names, classes are the values that occur, except `IGNORE_ID`.
    """
    builder = source.builder
    if builder.name in _PUBLISHED:
        return _PUBLISHED[builder.name]
    if names := getattr(builder.info.features[mask], "names", None):
        return dict(enumerate(names))
    occurs = np.zeros(256, bool)
    for split in SPLITS:
        rows = source.read(split, decoders=tfds.decode.PartialDecoding({mask: True}))
        values = rows.map(lambda row: _occurring(row[mask]), num_parallel_calls=tf.data.AUTOTUNE)
        occurs |= values.reduce(np.zeros(256, bool), tf.logical_or).numpy()
    found = np.flatnonzero(occurs)
    if len(found) > 2:  # In masks of two values, 255 is often the white of the foreground.
        found = found[found != IGNORE_ID]
    if len(found) < 2:
        raise UserError(f"the masks of {builder.name} have fewer than two classes")
    return {int(value): f"class {value}" for value in found}


def _occurring(mask: tf.Tensor) -> tf.Tensor:
    """Returns bool [256], whether each value occurs in a uint8 mask."""
    values = tf.reshape(tf.cast(mask, tf.int32), [-1])
    return tf.math.bincount(values, minlength=256, maxlength=256) > 0
