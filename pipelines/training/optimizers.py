"""Optimizers: Keras' own, with what a recipe adds to them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from pipelines.recipe import Optimizer
from pipelines.training.schedules import schedule

_KINDS = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "lamb": keras.optimizers.Lamb,
    "lion": keras.optimizers.Lion,
    "rmsprop": keras.optimizers.RMSprop,
}
_OPTIONS = ("momentum", "nesterov", "beta_1", "beta_2", "epsilon")
# Names of variables, in this project, in Keras and in keras_hub, that are no kernels.
_NO_KERNEL = re.compile(r"(^|_)(bias|gamma|beta|scale|embeddings?)$")


def optimizer(
    config: Optimizer,
    steps: int,
    *,
    epochs: int = 1,
    last_batch: float = 1.0,
    rates: Sequence[tuple[keras.Variable, float]] = (),
) -> keras.Optimizer:
    """Returns an optimizer whose schedule ends with the last update.

    Averaging weights over the updates: Polyak & Juditsky, "Acceleration of Stochastic Approximation
    by Averaging", 1992.

    Args:
        config: Update rule, schedule, weight decay, clipping, averaging and accumulation.
        steps: Number of batches of an epoch.
        epochs: Number of epochs.
        last_batch: Size of an epoch's last batch, as a fraction of that of the others.
        rates: Variables whose learning rate is multiplied by a factor, and these factors.
    """
    updates = -(-steps // config.accumulate) * epochs
    options = {name: getattr(config, name) for name in _OPTIONS if getattr(config, name)}
    return _kind(config.name)(
        schedule(config, updates, epochs),
        **options,
        weight_decay=config.weight_decay,
        clipnorm=config.clip_variable_norm or None,
        global_clipnorm=config.clip_norm or None,
        clipvalue=config.clip_value or None,
        use_ema=config.average > 0,
        # The average starts from the untrained weights, which must not dominate a short run.
        ema_momentum=min(config.average, max(0.0, 1 - 4 / updates)),
        gradient_accumulation_steps=config.accumulate if config.accumulate > 1 else None,
        steps=steps,
        last_batch=last_batch,
        rates=rates,
    )


def is_kernel(variable: keras.Variable) -> bool:
    """Returns whether a variable decays: no bias, normalization or embedding does."""
    return not _NO_KERNEL.search(variable.name)


class _Recipe(keras.optimizers.Optimizer):
    """What a recipe adds to an optimizer of Keras; all state is in the optimizer's variables.

    Weight decay follows the learning rate of each variable. Gradients are clipped after they are
    summed over devices. Accumulated gradients make an update at the end of each epoch as well, are
    weighted by the size of their batches, and count in schedule, bias correction and average as the
    one update that they are: training is that of the large batch.
    """

    def __init__(
        self,
        *args: Any,
        steps: int,
        last_batch: float,
        rates: Sequence[tuple[keras.Variable, float]],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._steps, self._last_batch = steps, last_batch
        self._factors = {self._var_key(variable): factor for variable, factor in rates}

    def build(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)
        self._decaying = frozenset(self._var_key(each) for each in variables if is_kernel(each))
        for variable, average in self._averages():
            average.assign(variable)

    @property
    def iterations(self) -> Any:
        """The number of updates that are done."""
        every = self.gradient_accumulation_steps
        if not every:
            return self._iterations
        epoch, batch = self._iterations // self._steps, self._iterations % self._steps
        return epoch * -(-self._steps // every) + batch // every

    def _get_current_learning_rate(self) -> Any:
        return self._learning_rate(self.iterations)

    def _apply_weight_decay(self, variables: Any) -> None:
        """Leaves the decay to `update_step`, which knows the variable's learning rate."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        key = self._var_key(variable)
        learning_rate = ops.cast(learning_rate, variable.dtype)
        if key in self._factors:
            learning_rate = learning_rate * self._factors[key]
        if self.weight_decay and key in self._decaying:
            decay = ops.cast(self.weight_decay, variable.dtype)
            variable.assign_sub(variable * decay * learning_rate)
        super().update_step(gradient, variable, learning_rate)

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        return super()._clip_gradients(_summed(grads))

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars  # `_clip_gradients` has summed them.

    def _backend_apply_gradients(
        self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable]
    ) -> None:
        every = self.gradient_accumulation_steps
        if not every:
            super()._backend_apply_gradients(grads, trainable_variables)
            return
        batch = self._iterations % self._steps
        ends = batch + 1 == self._steps
        weight = ops.where(ends, self._last_batch, 1.0)
        # The sum of the weights of the batches so far.
        total = ops.cast(batch % every, "float32") + weight
        sums = [
            self._accumulated_gradients[self._get_variable_index(each)]
            for each in trainable_variables
        ]

        def add(grads: Sequence[Any]) -> None:
            for one, gradient in zip(sums, grads, strict=True):
                one.assign(one + gradient)

        def update(grads: Sequence[Any]) -> None:
            mean = [
                (one + gradient) / ops.cast(total, one.dtype)
                for one, gradient in zip(sums, grads, strict=True)
            ]
            mean = super(_Recipe, self)._clip_gradients(mean)
            self._backend_update_step(mean, trainable_variables, self.learning_rate)
            for one in sums:
                one.assign(ops.zeros_like(one))
            if self.use_ema:
                self._update_model_variables_moving_average(self._trainable_variables)

        summed = [
            tf.convert_to_tensor(gradient) * tf.cast(weight, gradient.dtype)
            for gradient in _summed(grads)
        ]
        _either(ends | ((batch + 1) % every == 0), update, add, summed)

    def _averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Returns the variables with their averages, if there are some."""
        if not self.use_ema:
            return []
        pairs = zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        return list(pairs)

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        """Updates the averages of what is not frozen, so that the rest stays as it is."""
        momentum = ops.where(self.iterations == 0, 0.0, self.ema_momentum)
        for variable, average in self._averages():
            if variable.trainable:
                average.assign(momentum * average + (1 - momentum) * variable)

    def _overwrite_model_variables_with_average_value(self, trainable_variables: Any) -> None:
        """Swaps in the averages of all variables, also if some are frozen by now."""
        super()._overwrite_model_variables_with_average_value(self._trainable_variables)


@functools.cache
def _kind(name: str) -> type[_Recipe]:
    return type(_KINDS[name].__name__, (_Recipe, _KINDS[name]), {})


def _summed(grads: Sequence[Any]) -> Sequence[Any]:
    """Returns the gradients of the global batch, where each device has those of its part."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return grads
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))


def _either(
    condition: Any, yes: Callable[[Any], None], no: Callable[[Any], None], value: Any
) -> None:
    """Calls one of two functions that update variables, in the graph and on each device."""
    if tf.__internal__.distribute.strategy_supports_no_merge_call():
        tf.cond(condition, lambda: yes(value), lambda: no(value))
        return

    def on_all(strategy: tf.distribute.Strategy, condition: Any, value: Any) -> None:
        # An update of all devices cannot be begun on one of them within a condition.
        each = strategy.extended.call_for_each_replica
        first = strategy.experimental_local_results(condition)[0]
        tf.cond(first, lambda: each(yes, (value,)), lambda: each(no, (value,)))

    tf.distribute.get_replica_context().merge_call(on_all, (condition, value))
