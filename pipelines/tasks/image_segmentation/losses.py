"""Losses of segmentation that make up for rare classes; void pixels count in none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from pipelines.tasks.image_segmentation.data import IGNORE_ID
from pipelines.training.losses import CrossEntropy


def loss(kind: str) -> keras.Loss:
    """Returns "cross_entropy", "focal", "dice" or "cross_entropy+dice" of logits."""
    if kind == "cross_entropy":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORE_ID)
    return {"focal": Focal, "dice": Dice, "cross_entropy+dice": CrossEntropyAndDice}[kind]()


@keras.saving.register_keras_serializable(package="pipelines")
class Focal(CrossEntropy):
    """Cross-entropy times (1 - p)², p the probability of the pixel's class.

    Lin et al., "Focal Loss for Dense Object Detection", 2017, section 3.2. Keras' own counts void
    pixels, and multiplies by a quarter.
    """

    gamma = 2.0

    def __init__(
        self,
        smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        ignore_class: int | None = IGNORE_ID,
        name: str = "focal",
        **options: Any,
    ) -> None:
        super().__init__(smoothing, class_weights, ignore_class, name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        one_hot, _ = _one_hot(y_true, y_pred)
        missing = 1 - ops.sum(one_hot * ops.softmax(y_pred), axis=-1)
        losses = super().call(y_true, y_pred)
        focal = losses * missing**self.gamma
        focal._keras_mask = losses._keras_mask
        return focal

    def with_recipe(self, smoothing: float, class_weights: Sequence[float] | None) -> Focal:
        """Returns the loss with smoothed labels and weighted classes."""
        return Focal(smoothing, class_weights)


@keras.saving.register_keras_serializable(package="pipelines")
class Dice(keras.losses.Loss):
    """One minus the Dice coefficient of each image's classes, their mean over those that occur.

    Milletari et al., "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
    Segmentation", 2016, section 3.
    """

    def __init__(self, name: str = "dice", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses of the images, [batch]."""
        one_hot, valid = _one_hot(y_true, y_pred)
        losses = keras.losses.dice(one_hot, ops.softmax(y_pred) * valid, axis=(1, 2))
        # Of a class that does not occur, the smallest probability has the coefficient 0.
        occurs = ops.cast(ops.any(one_hot > 0, axis=(1, 2)), losses.dtype)
        return ops.sum(losses * occurs, -1) / ops.maximum(ops.sum(occurs, -1), 1.0)


@keras.saving.register_keras_serializable(package="pipelines")
class CrossEntropyAndDice(keras.losses.Loss):
    """The sum of both, the cross-entropy with smoothed labels and weighted classes."""

    def __init__(
        self,
        smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        name: str = "cross_entropy_and_dice",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.cross_entropy = CrossEntropy(smoothing, class_weights, IGNORE_ID)
        self.dice = Dice()

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Weights of pixels are none of images.
        return self.cross_entropy(y_true, y_pred, sample_weight) + self.dice(y_true, y_pred)

    def with_recipe(
        self, smoothing: float, class_weights: Sequence[float] | None
    ) -> CrossEntropyAndDice:
        """Returns the loss with smoothed labels and weighted classes."""
        return CrossEntropyAndDice(smoothing, class_weights)

    def get_config(self) -> dict[str, Any]:
        own = self.cross_entropy
        return {
            **super().get_config(),
            "smoothing": own.smoothing,
            "class_weights": own.class_weights,
        }


def _one_hot(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Returns targets [batch, height, width, classes], 0 for void, and [..., 1] which are not."""
    ids = ops.cast(y_true, "int32")
    valid = ops.cast(ops.expand_dims(ids != IGNORE_ID, -1), y_pred.dtype)
    one_hot = ops.one_hot(ops.where(ids == IGNORE_ID, 0, ids), y_pred.shape[-1], dtype=y_pred.dtype)
    return one_hot * valid, valid
