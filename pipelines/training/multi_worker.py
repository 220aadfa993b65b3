"""Training on several replicas, each with its slice of every global batch.

A replica is one device of one worker. A step on all of them equals one step on the global batch.
Keras 3.15 alone does not achieve that; what it needs stands here, with the reason upstream:

- `_maybe_symbolic_build` averages the first batch over the replicas, which fails for batches of
  several parts and for strings, and on several workers. The model is built from shapes instead.
- Between workers, the values that a step returns are averaged over their first axis, so scalars
  fail. Steps of several workers return them with one axis.
- A loss is the mean over each replica's slice and counts 1 / replicas. With slices of different
  sizes, or padding, that is not the mean over the global batch; scalar losses even count in full.
- Loss scaling looks for infinite gradients on the first replica alone. Here it knows of all.
- Each replica keeps moving statistics of its own, as those of batch normalization, and those of the
  first are saved. Here their changes are averaged over the global batch.
- All replicas drop out the same units, as they share one seed.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

# Seeds of neighboring replicas differ by this odd number, 2 ** 32 divided by the golden ratio.
_SEED_STEP = 0x9E3779B9


def distributed(
    batches: tf.data.Dataset, strategy: tf.distribute.Strategy, *, endless: bool = False
) -> tf.distribute.DistributedDataset | tf.data.Dataset:
    """Returns the batches in slices, one for each replica; as they are for one replica.

    Slices differ by one example at most. Where a batch has fewer examples than there are replicas,
    each replica gets the whole batch. Elements are (slice, weight, counted): the weight of the
    slice in means over the global batch, float32, and whether its examples count in metrics, bool.

    Args:
        batches: Global batches, the same ones for each worker.
        strategy: Its replicas.
        endless: Repeat them, so that workers need not ask each other whether there are more.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def slices(*batch: Any) -> tf.data.Dataset:
            numbers = tf.data.Dataset.range(first, first + local)
            return numbers.map(lambda number: _slice(batch, number, replicas))

        sliced = (batches.repeat() if endless else batches).flat_map(slices)
        return sliced.prefetch(2 * local)

    return strategy.distribute_datasets_from_function(of_worker)


def _slice(batch: Any, replica: tf.Tensor, replicas: int) -> tuple[Any, tf.Tensor, tf.Tensor]:
    size = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]
    enough = size >= replicas
    start = tf.where(enough, replica * size // replicas, 0)
    stop = tf.where(enough, (replica + 1) * size // replicas, size)
    weight = tf.where(enough, (stop - start) / size, 1 / replicas)
    part = tf.nest.map_structure(lambda x: x[start:stop], batch)
    return part, tf.cast(weight, tf.float32), enough | (replica == 0)


@contextmanager
def cured(model: keras.Model, element_spec: Any) -> Iterator[None]:
    """Lets a compiled model fit `distributed` batches while the body runs.

    Args:
        model: Built and compiled within the strategy's scope, its losses by `global_means`.
        element_spec: That of the batches before they are distributed.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        yield
        return
    with strategy.scope():
        model._symbolic_build(data_batch=element_spec)
    steps = {
        "_maybe_symbolic_build": lambda **_: None,
        "train_step": functools.partial(_train_step, model),
        "test_step": functools.partial(_test_step, model),
    }
    for name, step in steps.items():
        object.__setattr__(model, name, step)
    try:
        yield
    finally:
        for name in steps:
            object.__delattr__(model, name)
        model.train_function = model.test_function = None  # They hold the steps.


def global_means(loss: Any, strategy: tf.distribute.Strategy) -> Any:
    """Returns losses, as `compile` takes them, as means over the global batch."""
    if strategy.num_replicas_in_sync == 1:
        return loss
    return keras.tree.map_structure(_global_mean, loss)


def _global_mean(loss: Any) -> keras.Loss:
    loss = keras.losses.get(loss)
    if isinstance(loss, keras.Loss) and type(loss).__call__ is not keras.Loss.__call__:
        whole = copy.copy(loss)  # It is made of others.
        for name, part in vars(loss).items():
            if isinstance(part, keras.Loss):
                setattr(whole, name, _global_mean(part))
        return whole
    return _GlobalMean(loss if isinstance(loss, keras.Loss) else _Called(loss, name="loss"))


class _Called(keras.Loss):
    """The loss whose values a function returns."""

    def __init__(self, call: Callable[[Any, Any], Any], **options: Any) -> None:
        super().__init__(**options)
        self._call = call

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._call(y_true, y_pred)


class _GlobalMean(keras.Loss):
    """A replica's part of a loss that is a mean over the global batch; the parts' sum is the loss.

    It is the mean over the slice times the slice's share in the batch: its share of the examples,
    or of what a mask or weights have count. A loss that is a single number for its batch is taken
    as the mean over the batch's examples.
    """

    def __init__(self, loss: keras.Loss) -> None:
        super().__init__(name=loss.name, reduction=loss.reduction, dtype=loss.dtype)
        self._loss = loss

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._loss.call(y_true, y_pred)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        values: list[Any] = []

        def call(y_true: Any, y_pred: Any) -> Any:
            values.append(self.call(y_true, y_pred))
            return values[0]

        options = {"name": self.name, "dtype": self.dtype}
        mean = _Called(call, reduction=self.reduction, **options)(y_true, y_pred, sample_weight)
        replica = tf.distribute.get_replica_context()
        if replica is None:  # The model is being built.
            return mean
        if values[0].shape.rank:
            mean *= _replicas()  # By which Keras has divided all losses but single numbers.
        count = tf.cast(tf.shape(tf.nest.flatten(y_pred)[0])[0], mean.dtype)
        mask = getattr(values[0], "_keras_mask", None)
        weighted = self.reduction == "mean_with_sample_weight" and sample_weight is not None
        if weighted or mask is not None:
            ones = tf.ones_like(values[0])
            if mask is not None:
                ones._keras_mask = mask
            counting = _Called(lambda *_: ones, reduction="sum", **options)
            count = counting(y_true, y_pred, sample_weight if weighted else None)
        return mean * tf.math.divide_no_nan(count, replica.all_reduce("SUM", count))


def _replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def _train_step(model: keras.Model, data: Any) -> Any:
    """Does what `keras.Model.train_step` does, with the global batch."""
    batch, weight, counted = data
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    replica = tf.distribute.get_replica_context()
    metrics, moving = _values(_metrics(model)), _values(_moving(model))
    seeds = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    step = tf.cast(tf.cast(replica.replica_id_in_sync_group, tf.int64) * _SEED_STEP, tf.uint32)
    offset = tf.stack([step, tf.zeros_like(step)])
    for seed in seeds:
        seed.assign(seed + offset)
    with tf.GradientTape() as tape:
        y_pred = model(x, training=True)
        loss = model._compute_loss(x, y, y_pred, sample_weight, training=True)
        _track(model, loss / weight, x)
        loss = model.optimizer.scale_loss(loss)
    for seed in seeds:
        seed.assign(seed - offset)
    variables = model.trainable_weights
    gradients = tape.gradient(loss, variables)
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        gradients = _infinite_together(gradients)
    model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    if moving:
        changes = [weight * (variable - before) for variable, before in moving]
        for (variable, before), change in zip(
            moving, replica.all_reduce("SUM", changes), strict=True
        ):
            variable.assign(before + change)
    return _results(model, x, y, y_pred, sample_weight, metrics, counted)


def _test_step(model: keras.Model, data: Any) -> Any:
    """Does what `keras.Model.test_step` does, with the global batch."""
    batch, weight, counted = data
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    metrics = _values(_metrics(model))
    y_pred = model(x, training=False)
    loss = model._compute_loss(x, y, y_pred, sample_weight, training=False)
    _track(model, loss / weight, x)
    return _results(model, x, y, y_pred, sample_weight, metrics, counted)


def _infinite_together(gradients: list[Any]) -> list[Any]:
    """Returns the gradients, the first infinite if any of any replica is."""
    tensors = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
    wrong = [tf.reduce_any(~tf.math.is_finite(gradient)) for gradient in tensors]
    replica = tf.distribute.get_replica_context()
    count = replica.all_reduce("SUM", tf.cast(tf.reduce_any(wrong), tf.float32))
    first = next(index for index, gradient in enumerate(gradients) if gradient is not None)
    marked = tf.where(count > 0, tf.constant(float("inf"), tensors[0].dtype), tensors[0])
    return [*gradients[:first], marked, *gradients[first + 1 :]]


def _values(variables: list[keras.Variable]) -> list[tuple[keras.Variable, tf.Tensor]]:
    return [(variable, tf.identity(variable.value)) for variable in variables]


def _metrics(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables of metrics but those of outputs' losses, which all replicas count."""
    losses = {id(v) for metric in model._compile_loss.metrics for v in metric.variables}
    return [variable for variable in model.metrics_variables if id(variable) not in losses]


def _moving(model: keras.Model) -> list[keras.Variable]:
    """Returns what layers change in training without a gradient, as moving statistics."""
    layers = [layer for layer in model._flatten_layers() if layer.trainable]
    variables = [v for layer in layers for v in layer._non_trainable_variables]
    return [v for v in variables if tf.as_dtype(v.dtype).is_floating]


def _track(model: keras.Model, loss: tf.Tensor, x: Any) -> None:
    model._loss_tracker.update_state(loss, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0])


def _results(
    model: keras.Model,
    x: Any,
    y: Any,
    y_pred: Any,
    sample_weight: Any,
    before: list[tuple[keras.Variable, tf.Tensor]],
    counted: tf.Tensor,
) -> Any:
    """Updates the metrics, of examples that count, and returns this replica's values of them."""
    results = model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
    for variable, value in before:
        variable.value.assign(tf.where(counted, variable.value, value))
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return results
    return keras.tree.map_structure(lambda x: tf.expand_dims(x, 0), results)
