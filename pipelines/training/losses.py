"""Losses as a recipe changes them: label smoothing, class weights, penalties of weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pipelines.datasets.dataset import Dataset
from pipelines.errors import UserError
from pipelines.task import Task
from pipelines.training.optimizers import is_kernel


@keras.saving.register_keras_serializable(package="pipelines")
class CrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits with label smoothing and class weights.

    Label smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
    2016, section 7. Targets are class ids, int [batch, …], or probabilities, float [batch, …,
    classes]; outputs are logits [batch, …, classes].

    Args:
        smoothing: Fraction of each target's probability that is spread evenly over all classes.
        class_weights: Weight of the loss of each class; none for 1.
        ignore_class: Id of targets that count neither in the sum nor in the mean.
    """

    def __init__(
        self,
        smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        ignore_class: int | None = None,
        name: str = "cross_entropy",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.smoothing, self.ignore_class = smoothing, ignore_class
        self.class_weights = None if class_weights is None else [*map(float, class_weights)]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses, [batch, …]."""
        log_probs, counted = ops.log_softmax(y_pred, axis=-1), None
        if _is_soft(y_true, y_pred):
            truth = ops.sum(ops.cast(y_true, log_probs.dtype) * log_probs, axis=-1)
            weight = self._weights(log_probs.dtype)
            if weight is not None:
                weight = ops.sum(ops.cast(y_true, log_probs.dtype) * weight, axis=-1)
        else:
            ids = ops.cast(y_true, "int32")
            if self.ignore_class is not None:
                counted = ids != self.ignore_class
                ids = ops.where(counted, ids, 0)
            truth = ops.squeeze(ops.take_along_axis(log_probs, ops.expand_dims(ids, -1), -1), -1)
            weight = self._weights(log_probs.dtype)
            if weight is not None:
                weight = ops.take(weight, ids)
        losses = -truth
        if self.smoothing:
            even = ops.mean(log_probs, axis=-1)
            losses = -(1 - self.smoothing) * truth - self.smoothing * even
        losses = losses if weight is None else losses * weight
        if counted is not None:
            losses._keras_mask = counted  # By which Keras takes sums and means.
        return losses

    def with_recipe(self, smoothing: float, class_weights: Sequence[float] | None) -> CrossEntropy:
        """Returns the loss with smoothed labels and weighted classes."""
        return CrossEntropy(smoothing, class_weights, self.ignore_class)

    def _weights(self, dtype: str) -> Any:
        if self.class_weights is None:
            return None
        return ops.convert_to_tensor(self.class_weights, dtype)

    def get_config(self) -> dict[str, Any]:
        own = ("smoothing", "class_weights", "ignore_class")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _is_soft(y_true: Any, y_pred: Any) -> bool:
    """Returns whether targets are probabilities of classes, not ids."""
    return len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == y_pred.shape[-1]


def loss(task: Task, data: Dataset, model: keras.Model) -> Any:
    """Returns the task's loss as its recipe changes it.

    Raises:
        UserError: It has no classes, or not as many as there are class weights.
    """
    recipe = task.config.recipe
    own = task.loss(data)
    if not recipe.label_smoothing and not recipe.class_weights:
        return own
    weights = _class_weights(recipe.class_weights, data, model) if recipe.class_weights else None
    changed = keras.tree.map_structure(
        lambda one: _changed(one, recipe.label_smoothing, weights), own
    )
    if not any(one is not other for one, other in zip(_flat(changed), _flat(own), strict=True)):
        option = "label_smoothing" if recipe.label_smoothing else "class_weights"
        raise UserError(f"--{option} is for targets that are classes, and here there are none")
    return changed


def _flat(losses: Any) -> list[Any]:
    return keras.tree.flatten(losses)


def _changed(one: Any, smoothing: float, weights: Sequence[float] | None) -> Any:
    if hasattr(one, "with_recipe"):
        return one.with_recipe(smoothing, weights)
    kinds = (keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy)
    if not isinstance(one, kinds):
        return one
    return CrossEntropy(
        smoothing,
        weights,
        ignore_class=getattr(one, "ignore_class", None),
        name=one.name,
        reduction=one.reduction,
    )


def _class_weights(chosen: str, data: Dataset, model: keras.Model) -> list[float]:
    """Returns the weights of the classes; balanced ones have the mean 1 over all examples."""
    outputs = model.output
    if isinstance(outputs, Mapping):
        raise UserError("--class_weights is for networks with one output, not with several")
    classes = outputs.shape[-1]
    if chosen != "balanced":
        weights = json.loads(chosen)
        if len(weights) != classes:
            raise UserError(
                f"--class_weights must be one for each of the {classes} classes, not {len(weights)}"
            )
        return weights
    counts = np.zeros(classes)
    for _, target, *weight in data.train.as_numpy_iterator():
        counted = np.ravel(target)[np.ravel(weight[0]) > 0] if weight else np.ravel(target)
        counts += np.bincount(counted, minlength=classes)[:classes]
    present = counts > 0
    weights = np.zeros(classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights.tolist()


def penalize(model: keras.Model, l1: float, l2: float) -> None:
    """Adds penalties of the kernels to the loss of a network, without a change of its layers."""
    if not l1 and not l2:
        return
    penalty = keras.regularizers.L1L2(l1, l2)
    for variable in model.trainable_variables:
        if is_kernel(variable):
            variable.regularizer = penalty
