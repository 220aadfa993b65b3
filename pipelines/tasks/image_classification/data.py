"""Labeled images: uint8 0-255 in the data set, in files and over the wire."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
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
from pipelines.image.config import ImageConfig
from pipelines.image.cropping import Crops, of_originals
from pipelines.image.examples import contents_of_images, image_shape
from pipelines.image.preprocessing import WHOLE, Part, resize
from pipelines.image.weights import Weights
from pipelines.tasks.image_classification import own


@dataclass(frozen=True, kw_only=True, eq=False)
class LabeledImages(Dataset):
    """Images with one label each: (uint8 [height, width, channels], int64 []) examples.

    Attributes:
        image_shape: (height, width, channels) after resizing.
        class_names: Names in the order of the labels.
        preprocessing: How images are resized, and with pre-trained weights normalized.
        weights: Pre-trained weights to start from, if they are chosen.
        labels: By split, the labels of a user's own files, int64 [examples], in the order of the
            examples; nothing for other data sets.
        original_sizes: By split, (height, width) of a user's own files, int64 [examples, 2].
        crops: From the number of an epoch to training examples that are random parts of the
            original images; None where they are augmented from `train`, whose size they have.
    """

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    preprocessing: Preprocessing = WHOLE
    weights: Weights | None = None
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    original_sizes: Mapping[str, np.ndarray] = field(default_factory=dict)
    crops: Crops | None = None

    def epoch(self, number: Any) -> tf.data.Dataset:
        """Returns the training examples of an epoch, where they are cropped at random."""
        return self.crops(number) if self.crops else self.train

    def contents(self, split: str) -> Iterator[Content]:
        return contents_of_images(
            self.split(split), self.original_sizes.get(split), self.class_names
        )


def load(config: ImageConfig) -> LabeledImages:
    """Prepares and opens the data set that `config` names, or the user's own at its path.

    Raises:
        UserError: The data set cannot be had, has no labeled images, or has images of several
            sizes while `image_size` is 0.
    """
    if path := lookup.own_path(config.dataset):
        return _own(path, config)
    source = loading.open_dataset(config)
    image, label = _features(source.builder)
    names = tuple(source.builder.info.features[label].names)
    weights = pretrained.find(config)
    how = weights.preprocessing if weights else WHOLE
    shape = image_shape(source.builder, image, config.image_size or how.size)

    def example(
        features: dict[str, tf.Tensor], part: Part | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return resize(features[image], shape, how, part), features[label]

    resized = source.builder.info.features[image].shape[:2] != shape[:2]
    crops = of_originals(config, source.read("train"), example, resized=resized)
    return LabeledImages(
        **source.identity(),
        sizes=source.sizes(),
        image_shape=shape,
        class_names=names,
        preprocessing=how,
        weights=weights,
        notes=tuple(pretrained.notes(weights, names, segments=False)),
        example_bytes=None if crops else math.prod(shape),
        crops=crops,
        **{
            split: source.read(split).map(example, num_parallel_calls=tf.data.AUTOTUNE)
            for split in SPLITS
        },
    )


def _own(path: Path, config: ImageConfig) -> LabeledImages:
    found = own.read(path, config)
    examples = splits.at_most(found.examples, config)
    images = {split: examples[split].files for split in SPLITS}
    ids = {name: index for index, name in enumerate(found.class_names)}
    labels = {
        split: np.array([ids[name] for name in examples[split].labels], np.int64)
        for split in SPLITS
    }
    weights = pretrained.find(config)
    how = weights.preprocessing if weights else WHOLE
    shape = files.common_shape(chain.from_iterable(images.values()), config.image_size or how.size)

    def example(
        path: tf.Tensor, by_graph: tf.Tensor, label: tf.Tensor, part: Part | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return files.read(path, by_graph, shape, how, part), label

    of_split = tf.function(example)  # Traced once for all splits.
    read = {split: images[split].rows(labels[split]) for split in SPLITS}
    sizes = {split: images[split].sizes() for split in SPLITS}
    resized = bool(np.any(sizes["train"] != shape[:2]))
    crops = of_originals(config, read["train"], example, resized=resized)
    return LabeledImages(
        **loading.own_identity(path, found.digest, config.max_examples),
        sizes={split: len(images[split]) for split in SPLITS},
        image_shape=shape,
        class_names=found.class_names,
        preprocessing=how,
        weights=weights,
        labels=labels,
        original_sizes=sizes,
        example_bytes=None if crops else math.prod(shape),
        crops=crops,
        notes=(*found.notes, *pretrained.notes(weights, found.class_names, segments=False)),
        left_out=found.left_out,
        **{
            split: read[split].map(of_split, num_parallel_calls=tf.data.AUTOTUNE)
            for split in SPLITS
        },
    )


def _features(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the image and of the label among a data set's features."""
    features = builder.info.features
    images = [k for k, v in features.items() if isinstance(v, tfds.features.Image)]
    labels = [k for k, v in features.items() if isinstance(v, tfds.features.ClassLabel)]
    # Data sets with several labels (coarse and fine) say which belongs to the image.
    pair = builder.info.supervised_keys or ()
    images = [k for k in images if k in pair] or images
    labels = [k for k in labels if k in pair] or labels
    if not images or not labels:
        raise UserError(
            f"{builder.name} has no image with a class label; its features are: "
            f"{', '.join(features)}"
        )
    return images[0], labels[0]
