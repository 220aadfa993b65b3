"""Examples of image data sets: for figures, for verification, and to try a served model with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets.dataset import Content, Dataset
from pipelines.errors import UserError
from pipelines.stateless import epoch_seeds
from pipelines.task import Task

# Of so many images one is taken at least, as each has to be decoded.
_MAX_STEP = 16
# Images that are read at once.
_AT_ONCE = 32


def image_shape(
    builder: tfds.core.DatasetBuilder, feature: str, image_size: int
) -> tuple[int, int, int]:
    """Returns (height, width, channels) of a data set's images after resizing.

    Args:
        builder: The data set.
        feature: Name of its image feature.
        image_size: Height and width to resize to; 0 keeps the images' common size.

    Raises:
        UserError: The images are not uint8, or differ in size while `image_size` is 0.
    """
    image = builder.info.features[feature]
    if image.np_dtype != np.uint8:
        raise UserError(f"the images of {builder.name} are not uint8")
    height, width, channels = image.shape
    if image_size:
        height = width = image_size
    if None in (height, width):
        raise UserError(
            f"the images of {builder.name} differ in size; choose one, as --image_size 128"
        )
    return height, width, channels


def contents_of_images(
    examples: tf.data.Dataset, sizes: np.ndarray | None, class_names: Sequence[str]
) -> Iterator[Content]:
    """Yields images as contents, whose size is (height, width) in pixels.

    Args:
        examples: (uint8 [height, width, channels], target) examples.
        sizes: The images' own sizes, int [examples, 2]; None where they are those of `examples`.
        class_names: By target, or by the values of a target that is a mask.
    """
    # Each alone takes .3 ms more.
    batches = examples.batch(_AT_ONCE).as_numpy_iterator()
    rows = chain.from_iterable(zip(*batch, strict=True) for batch in batches)
    for index, (image, target) in enumerate(rows):
        size = image.shape[:2] if sizes is None else tuple(sizes[index].tolist())
        names = tuple(class_names[x] for x in np.unique(target) if 0 <= x < len(class_names))
        label, parts = (None, names) if target.shape else (names[0] if names else None, ())
        yield Content(image, label, parts, size, "pixels", image)


def first_images(examples: tf.data.Dataset, count: int) -> np.ndarray:
    """Returns the images of the first `count` examples, uint8 [count, height, width, channels]."""
    return np.stack([example[0] for example in examples.take(count).as_numpy_iterator()])


def image_requests(
    examples: tf.data.Dataset, size: int, count: int
) -> dict[str, dict[str, np.ndarray]]:
    """Returns images as clients send them: to `serving_default`, and as files to `image_bytes`.

    Args:
        examples: (uint8 [height, width, channels], …) examples.
        size: How many there are.
        count: How many are taken, from all over the first 16 times as many.
    """
    step = min(max(1, -(-size // count)), _MAX_STEP)
    chosen = examples.take(step * count).shard(step, 0)
    images = np.stack([example[0] for example in chosen.as_numpy_iterator()])
    return {
        "serving_default": {"images": images},
        "image_bytes": {"image_bytes": encode_png(images)},
    }


def images_at(examples: tf.data.Dataset, indices: Collection[int]) -> list[np.ndarray]:
    """Returns the images, uint8 [height, width, channels], of the examples at `indices`."""
    if not len(indices):
        return []
    read = examples.take(int(max(indices)) + 1).as_numpy_iterator()
    wanted = {int(index) for index in indices}
    images = {index: example[0] for index, example in enumerate(read) if index in wanted}
    return [images[int(index)] for index in indices]


def encode_png(images: np.ndarray) -> np.ndarray:
    """Encodes uint8 images [images, height, width, channels] to an object array of PNG strings."""
    return np.array([tf.io.encode_png(image).numpy() for image in images], object)


def augmented(task: Task, data: Dataset, count: int) -> tuple[np.ndarray, Any]:
    """Returns the first training images as the network sees them in the first epoch.

    Args:
        task: Preprocesses images to 0-1, and augments them.
        data: The data set.
        count: Number of images; fewer if there are not as many.

    Returns:
        uint8 [count, height, width, channels], and their targets.
    """
    ((images, target, *_),) = data.epoch(0).take(count).batch(count)
    seeds = epoch_seeds(task.config.recipe.seed, 0, tf.range(len(images)))
    augment = task.augment(data)
    images = task.preprocess(images)
    if augment:
        images, target = augment(images, target, seeds)
    return np.round(255 * np.clip(images, 0, 1)).astype(np.uint8), target.numpy()
