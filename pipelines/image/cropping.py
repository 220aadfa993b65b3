"""Random crops of original images, before they are resized.

A crop of a resized image would be blurred: it would be enlarged after the image was made smaller.
So training reads the images again in every epoch, and takes a part of each one (Szegedy et al.,
"Going Deeper with Convolutions", 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tensorflow as tf

from pipelines.image.config import Augmentation, ImageConfig
from pipelines.image.geometry import random_part
from pipelines.stateless import epoch_seeds, stream

# From the number of an epoch to its training examples.
Crops = Callable[[Any], tf.data.Dataset]
# Of the random numbers of crops; the augmentation of batches has those below.
_STREAM = 8


def of_originals(
    config: ImageConfig, examples: tf.data.Dataset, prepare: Callable[..., Any], *, resized: bool
) -> Crops | None:
    """Returns the training examples of an epoch, whose images are random parts.

    Args:
        config: Says how large crops are.
        examples: The original training examples.
        prepare: From the parts of an original example, and a function from an image, or its mask,
            uint8 [height, width, channels], to the part to take, to an example.
        resized: Whether images have another size than the network's.

    Returns:
        A function, or None where there are no crops, or batches of images can be cropped as well.
    """
    least = config.augmentation.crop
    if not (least and resized):
        return None

    def of_epoch(number: Any) -> tf.data.Dataset:
        def cropped(index: tf.Tensor, example: Any) -> Any:
            seeds = stream(epoch_seeds(config.recipe.seed, number, index[tf.newaxis]), _STREAM)
            parts = example if isinstance(example, tuple) else (example,)
            return prepare(*parts, lambda image: random_part(image, least, seeds[0]))

        return examples.enumerate().map(cropped, num_parallel_calls=tf.data.AUTOTUNE)

    return of_epoch


def of_batches(options: Augmentation, crops: Crops | None) -> Augmentation:
    """Returns what is left to change in batches, where the examples may be crops already."""
    return replace(options, crop=0.0) if crops else options
