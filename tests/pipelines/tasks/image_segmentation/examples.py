"""Tiny images with masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.image.config import Augmentation
from pipelines.recipe import Recipe
from pipelines.tasks.image_segmentation.config import SegmentationConfig
from pipelines.tasks.image_segmentation.data import IGNORE_ID, SegmentedImages

SHAPE = (16, 16, 1)
CLASSES = ("background", "gray", "white")
SIZES = {"train": 24, "validation": 8, "test": 10}


def squares(
    shape: tuple[int, int, int] = SHAPE, sizes: Mapping[str, int] = SIZES
) -> SegmentedImages:
    """Dark noise with a gray and a white square, whose edges have no class."""

    def split(seed: int, size: int) -> tf.data.Dataset:
        random = np.random.default_rng(seed)
        images = random.integers(0, 40, (size, *shape), np.uint8)
        masks = np.zeros((size, *shape[:2]), np.uint8)
        for image, mask in zip(images, masks, strict=True):
            for label, brightness in ((1, 100), (2, 200)):
                y, x = random.integers(0, np.array(shape[:2]) - 5)
                mask[y : y + 5, x : x + 5] = IGNORE_ID
                mask[y + 1 : y + 4, x + 1 : x + 4] = label
                image[y : y + 5, x : x + 5] = brightness + image[y : y + 5, x : x + 5] // 2
        return tf.data.Dataset.from_tensor_slices((images, masks))

    return SegmentedImages(
        name="squares",
        version="1.0.0",
        digest="0123456789ab",
        sizes=dict(sizes),
        image_shape=shape,
        class_names=CLASSES,
        **{name: split(seed, size) for seed, (name, size) in enumerate(sizes.items())},
    )


NO_AUGMENTATION = Augmentation()


def config(augmentation: Augmentation = NO_AUGMENTATION, **model: Any) -> SegmentationConfig:
    """A U-Net for the squares that trains in a moment."""
    small = {"filters": 4, "depth": 1, "padding": "same", "normalize": True, "dropout": 0.0}
    return SegmentationConfig(
        dataset="squares",
        architecture="unet",
        model={**small, **model},
        recipe=Recipe(epochs=2, batch_size=8),
        augmentation=augmentation,
    )
