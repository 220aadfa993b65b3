"""TFDS builders of the bundled data sets, whose data are extracts or in installed packages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds

# What `_generate_examples` yields: unique keys, and features by name.
Examples = Iterator[tuple[int | str, dict[str, Any]]]


def segmentation_features(
    shape: tuple[int, int, int], class_names: Sequence[str]
) -> tfds.features.FeaturesDict:
    """Returns the features "image" and "segmentation_mask", uint8 images of the shape `shape`."""
    mask = tfds.features.LabeledImage(labels=list(class_names), shape=shape, encoding_format="png")
    image = tfds.features.Image(shape=shape, encoding_format="png")
    return tfds.features.FeaturesDict({"image": image, "segmentation_mask": mask})
