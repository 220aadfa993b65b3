"""Images with a class for each pixel: uint8 images, each with a uint8 mask of the same size."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from architectures.pretrained import Preprocessing
from pipelines.datasets import loading, lookup
from pipelines.datasets.dataset import SPLITS, Content, Dataset
from pipelines.errors import UserError
from pipelines.image import files, splits
from pipelines.image import weights as pretrained
from pipelines.image.cropping import Crops, of_originals
from pipelines.image.examples import contents_of_images, image_shape
from pipelines.image.preprocessing import WHOLE, Part, resize
from pipelines.image.weights import Weights
from pipelines.tasks.image_segmentation import masks, own
from pipelines.tasks.image_segmentation.classes import IGNORE_ID, Occurrences, of_values
from pipelines.tasks.image_segmentation.config import SegmentationConfig

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
        preprocessing: How images are resized, and with pre-trained weights normalized.
        weights: Pre-trained weights to start from, if they are chosen.
        original_sizes: By split, (height, width) of a user's own files, int64 [examples, 2], in
            the order of the examples; nothing for other data sets.
        crops: From the number of an epoch to training examples that are random parts of the
            original images; None where they are augmented from `train`, whose size they have.
    """

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    preprocessing: Preprocessing = WHOLE
    weights: Weights | None = None
    original_sizes: Mapping[str, np.ndarray] = field(default_factory=dict)
    crops: Crops | None = None

    def epoch(self, number: Any) -> tf.data.Dataset:
        """Returns the training examples of an epoch, where they are cropped at random."""
        return self.crops(number) if self.crops else self.train

    def contents(self, split: str) -> Iterator[Content]:
        sizes = self.original_sizes.get(split)
        return contents_of_images(self.split(split), sizes, self.class_names)


def load(config: SegmentationConfig) -> SegmentedImages:
    """Prepares and opens the data set that `config` names, or the user's own at its path.

    Raises:
        UserError: The data set cannot be had, has no image with a mask, or has images of several
            sizes while `image_size` is 0.
    """
    if path := lookup.own_path(config.dataset):
        return _own(path, config)
    source = loading.open_dataset(config)
    image, mask = _features(source.builder)
    weights, how = _weights(config)
    shape = image_shape(source.builder, image, config.image_size or how.size)
    names, notes = _class_names(source, mask, config.class_share)
    ids = _class_ids(names)

    def example(
        features: dict[str, tf.Tensor], part: Part | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        classes = tf.gather(ids, tf.cast(features[mask][..., 0], tf.int32))
        return resize(features[image], shape, how, part), resize_mask(classes, shape[:2], part)

    resized = source.builder.info.features[image].shape[:2] != shape[:2]
    crops = of_originals(config, source.read("train"), example, resized=resized)
    return SegmentedImages(
        **source.identity(),
        sizes=source.sizes(),
        image_shape=shape,
        class_names=tuple(names.values()),
        preprocessing=how,
        weights=weights,
        example_bytes=None if crops else math.prod((*shape[:2], shape[2] + 1)),
        crops=crops,
        notes=[*notes, *pretrained.notes(weights, tuple(names.values()), segments=True)],
        **{
            split: source.read(split).map(example, num_parallel_calls=tf.data.AUTOTUNE)
            for split in SPLITS
        },
    )


def _own(path: Path, config: SegmentationConfig) -> SegmentedImages:
    found = own.read(path, config)
    pairs = splits.at_most(found.examples, config)
    images = {split: [image for image, _ in pairs[split]] for split in SPLITS}
    weights, how = _weights(config)
    shape = files.common_shape(
        [image for split in SPLITS for image in images[split]], config.image_size or how.size
    )
    names = tuple(found.class_names.values())
    ids = _class_ids(found.class_names)

    def example(
        path: tf.Tensor, by_graph: tf.Tensor, mask_path: tf.Tensor, part: Part | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        values = tf.numpy_function(
            lambda name: masks.values(Path(os.fsdecode(name))), [mask_path], tf.uint8
        )
        classes = tf.gather(ids, tf.cast(tf.ensure_shape(values, [None, None]), tf.int32))
        image = files.read(path, by_graph, shape, how, part)
        return image, resize_mask(classes, shape[:2], part)

    def paths(split: str) -> tf.data.Dataset:
        truth = [os.fsencode(mask.path) for _, mask in pairs[split]]
        return tf.data.Dataset.from_tensor_slices((*files.columns(images[split]), truth))

    of_split = tf.function(example)  # Traced once for all splits.
    sizes = {split: files.sizes(images[split]) for split in SPLITS}
    resized = bool(np.any(sizes["train"] != shape[:2]))
    crops = of_originals(config, paths("train"), example, resized=resized)
    return SegmentedImages(
        **loading.own_identity(path, found.digest, config.max_examples),
        sizes={split: len(images[split]) for split in SPLITS},
        image_shape=shape,
        class_names=names,
        preprocessing=how,
        weights=weights,
        original_sizes=sizes,
        example_bytes=None if crops else math.prod((*shape[:2], shape[2] + 1)),
        crops=crops,
        notes=[*found.notes, *pretrained.notes(weights, names, segments=True)],
        left_out=found.left_out,
        **{
            split: paths(split).map(of_split, num_parallel_calls=tf.data.AUTOTUNE)
            for split in SPLITS
        },
    )


def _weights(config: SegmentationConfig) -> tuple[Weights | None, Preprocessing]:
    """Returns the weights that are chosen, and how images are resized: each pixel has a class, so
    that the whole image is kept."""
    weights = pretrained.find(config)
    return weights, replace(weights.preprocessing, crop_share=0.0) if weights else WHOLE


def _class_ids(names: Mapping[int, str]) -> np.ndarray:
    """Returns the index of the class of each value of a mask, uint8 [256]."""
    ids = np.full(256, IGNORE_ID, np.uint8)
    ids[list(names)] = range(len(names))
    return ids


def resize_mask(mask: tf.Tensor, size: Any, part: Part | None = None) -> tf.Tensor:
    """Resizes a mask, uint8 [height, width], or a part of it, by nearest-neighbor interpolation."""
    mask = mask[..., tf.newaxis]
    return tf.image.resize(part(mask) if part else mask, size, method="nearest")[..., 0]


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


def _class_names(
    source: loading.Source, mask: str, share: float
) -> tuple[Mapping[int, str], list[str]]:
    """Returns the name of each value of the masks that is a class, in their order, and notes.

    Without published names, classes are the values that occur often enough.
    """
    builder = source.builder
    if builder.name in _PUBLISHED:
        return _PUBLISHED[builder.name], []
    if names := getattr(builder.info.features[mask], "names", None):
        return dict(enumerate(names)), []
    total = np.zeros((2, 256), np.int64)
    for split in SPLITS:
        rows = source.read(split, decoders=tfds.decode.PartialDecoding({mask: True}))
        counts = rows.map(lambda row: _counts(row[mask]), num_parallel_calls=tf.data.AUTOTUNE)
        total += counts.reduce(np.zeros((2, 256), np.int64), tf.add).numpy()
    return of_values(Occurrences(*total), share, builder.name)


def _counts(mask: tf.Tensor) -> tf.Tensor:
    """Returns int64 [2, 256]: pixels with each value in a uint8 mask, and whether there are any."""
    values = tf.reshape(tf.cast(mask, tf.int32), [-1])
    pixels = tf.math.bincount(values, minlength=256, maxlength=256, dtype=tf.int64)
    return tf.stack([pixels, tf.cast(pixels > 0, tf.int64)])
