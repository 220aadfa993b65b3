"""Augmentation of training images, drawn from a seed for each example."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from pipelines.image import color, geometry, mixing
from pipelines.image.config import Augmentation
from pipelines.stateless import stream
from pipelines.task import Augment

# From images, masks or none, and seeds to changed images and masks.
Changes = Callable[[tf.Tensor, tf.Tensor | None, tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]


def of_labeled_images(options: Augmentation, classes: int) -> Augment | None:
    """Returns random changes of images and their labels, or None where all are off.

    Args:
        options: What to change, and how much.
        classes: Number of classes.

    Returns:
        A function of images, float32 [batch, height, width, channels] 0-1, labels, int64 [batch],
        and seeds. Where images are mixed, it returns probabilities of classes, float32 [batch,
        classes], instead of labels.
    """
    if not options.active:
        return None
    changes = _changes(options, 0)

    def change(
        images: tf.Tensor, labels: tf.Tensor, seeds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, _ = changes(images, None, seeds)
        if options.mixes:
            targets = tf.one_hot(labels, classes)
            return mixing.mix(images, targets, options, stream(seeds, 5))
        return images, labels

    return change


def of_segmented_images(options: Augmentation, void: int) -> Augment | None:
    """Returns random changes of images and their masks, or None where all are off.

    A mask moves exactly as its image does, by nearest-neighbor interpolation. What is erased keeps
    its classes.

    Args:
        options: What to change, and how much; MixUp is for labels alone.
        void: The class of mask pixels from outside the image.

    Returns:
        A function of images, float32 [batch, height, width, channels] 0-1, masks, uint8 [batch,
        height, width], and seeds.
    """
    if not options.active:
        return None
    changes = _changes(options, void)

    def change(
        images: tf.Tensor, masks: tf.Tensor, seeds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, masks = changes(images, masks, seeds)
        if options.cut_mix:
            return mixing.mix(images, masks, options, stream(seeds, 5))
        return images, masks

    return change


def _changes(options: Augmentation, void: int) -> Changes:
    """Returns changes of each image by itself; what comes from outside is black, or void."""
    jitter = color.jitter(options)

    def change(
        images: tf.Tensor, masks: tf.Tensor | None, seeds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        height, width = images.shape[1:3]
        drawn = color.draw(options, stream(seeds, 2)) if options.rand_augment else None
        own = stream(seeds, 1)
        if not drawn and geometry.only_mirrors(options):
            images = geometry.mirrored(images, options, own)
            if masks is not None:
                masks = geometry.mirrored(masks[..., tf.newaxis], options, own)[..., 0]
        elif drawn or geometry.is_geometric(options):
            matrices = geometry.transforms(options, height, width, own)
            if drawn:
                matrices = matrices @ color.moves(*drawn, height, width)
            images = geometry.moved(images, matrices, "bilinear", 0.0)
            if masks is not None:
                values = tf.cast(masks, tf.float32)[..., tf.newaxis]
                classes = geometry.moved(values, matrices, "nearest", float(void))
                masks = tf.cast(classes[..., 0], masks.dtype)
        if drawn:
            images = color.change_pixels(images, *drawn)
        if jitter:
            images = jitter(images, stream(seeds, 3))
        if options.erasing:
            images = mixing.erase(images, options.erasing, stream(seeds, 4))
        return images, masks

    return change
