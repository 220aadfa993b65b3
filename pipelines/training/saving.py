"""Saving a training's state into checkpoints, and going on from one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.errors import DivergenceError
from pipelines.training.checkpoints import Checkpoint, Checkpoints, State
from pipelines.training.diagnosis import Diagnosis

# Writing checkpoints takes at most this fraction of a training's time, but for chosen ones.
_COST = 0.02
# Within an epoch, seconds from one checkpoint to the next, if they cost little.
_SECONDS = 60.0
_STOPPING = ("wait", "best", "best_epoch")


@dataclass(frozen=True)
class Callbacks:
    """Those callbacks whose state belongs to a training's.

    Attributes:
        stopping: Keeps the best weights, and stops when there are no better ones; or none.
        averaging: Swaps the averages of weights in and out; or none.
        diagnosis: Looks inside of the network; or none.
    """

    stopping: keras.callbacks.EarlyStopping | None
    averaging: keras.callbacks.SwapEMAWeights | None
    diagnosis: Diagnosis | None = None


class Saver(keras.callbacks.Callback):
    """Writes checkpoints of a training, and restores the one that it goes on from.

    It stands behind the callbacks whose state it saves. A state is saved between two batches: the
    weights and the states of random generators, those of the optimizer, of metrics and of early
    stopping. The state of an epoch's end is saved as the next epoch begins, when averaged weights
    are swapped out again.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        network: keras.Model,
        callbacks: Callbacks,
        *,
        start: Checkpoint | None,
        steps: int,
        every: int,
        always: bool,
        interrupted: Callable[[], bool],
        within: bool = True,
    ) -> None:
        """Takes what is saved and when.

        Args:
            checkpoints: Where they are written.
            network: Its variables are saved; a teacher, which is fitted with it, does not change.
            callbacks: Their state is saved, too.
            start: What to go on from; None to begin.
            steps: Number of batches of an epoch.
            every: Number of batches from one checkpoint to the next; 0: only as time allows.
            always: Whether the end of an epoch is saved even if that takes much of the time.
            interrupted: Whether training has to save its state and end.
            within: Whether it is saved within epochs as well. Several workers have to read metrics
                together, so theirs is saved between epochs alone.
        """
        super().__init__()
        self._checkpoints, self._network, self._callbacks = checkpoints, network, callbacks
        self._start, self._steps, self._every, self._always = start, steps, every, always
        self._interrupted, self._within = interrupted, within
        self._restores = start.state.restores if start else 0
        self._epoch, self._step, self._saved = 0, 0, (-1, -1)
        self._ended, self._took = time.monotonic(), 0.0
        self._metrics: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        if self._start:
            restore(self._start, self._network, self._callbacks)
            self.model.history.history = {
                name: list(values) for name, values in self._start.state.history.items()
            }
        elif self._always:
            self._save(0, 0)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._epoch, self._step, self._metrics = epoch, 0, None
        if self._start:
            if metrics := self._start.arrays.get("metrics"):  # Keras has just reset them.
                _assign(self.model.metrics_variables, metrics)
            self._step = self._start.state.step
            if self._callbacks.averaging:  # It has no swap to undo: this process made none.
                self._callbacks.averaging._ema_weights_in_model = self._start.state.averaged
            self._saved = (epoch, self._step)
            self._start = None
        elif epoch and (self._always or self._due()):
            self._save(epoch, 0)
        self._end_if_interrupted(epoch, self._step)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        before, self._step = self._step, min(batch + 1, self._steps)
        done = self._epoch * self._steps
        chosen = self._every and (done + self._step) // self._every > (done + before) // self._every
        if self._within and (chosen or self._due(_SECONDS)):
            self._save(self._epoch, self._step)
        self._end_if_interrupted(self._epoch, self._step)

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        if (
            self._within and self._interruptible
        ):  # Validation begins by resetting the metrics of training.
            self._metrics = _values(self.model.metrics_variables)

    def on_test_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._end_if_interrupted(self._epoch, self._steps)

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._metrics = None

    @property
    def _interruptible(self) -> bool:
        return self._step == self._steps

    def _due(self, seconds: float = 0.0) -> bool:
        return time.monotonic() - self._ended > max(seconds, self._took / _COST)

    def _end_if_interrupted(self, epoch: int, step: int) -> None:
        if self._interrupted():
            if (epoch, step) != self._saved and (self._within or not step):
                self._save(epoch, step)
            raise KeyboardInterrupt

    def _save(self, epoch: int, step: int) -> None:
        started = time.monotonic()
        look = self._callbacks.diagnosis
        looked, seen = look.state() if look else ({}, [])
        state = State(
            epoch=epoch,
            step=step,
            history=_numbers(self.model.history.history),
            stopping=_stopping(self._callbacks.stopping),
            averaged=_averaged(self._callbacks.averaging),
            restores=self._restores,
            variables=described(self._network),
            diagnosis=looked,
        )
        arrays = {
            "model": _values(self._network.variables),
            "optimizer": _values(self._network.optimizer.variables),
            "diagnosis": seen,
        }
        if step:
            arrays["metrics"] = self._metrics or _values(self.model.metrics_variables)
        if best := getattr(self._callbacks.stopping, "best_weights", None):
            arrays["best"] = best
        if not _finite(arrays["model"]):
            raise DivergenceError(f"a weight became infinite or no number in epoch {epoch + 1}")
        self._checkpoints.write(Checkpoint(state, arrays))
        self._saved = (epoch, step)
        self._ended = time.monotonic()
        self._took = self._ended - started


def build_optimizer(fitted: keras.Model) -> None:
    """Has a compiled model create the variables of its optimizer, if they are not there yet.

    TensorFlow traces a training step that creates variables again for the second batch, and each
    time takes seconds.
    """
    if not fitted.optimizer.built:
        with fitted.distribute_strategy.scope():
            fitted.optimizer.build(fitted.trainable_variables)


def prepare(fitted: keras.Model, start: Checkpoint, batches: tf.data.Dataset) -> None:
    """Has a compiled model create the variables that a checkpoint is restored into."""
    build_optimizer(fitted)
    if len(fitted.metrics_variables) < len(start.arrays.get("metrics", ())):
        # Without a strategy, Keras creates those of metrics with the first batch that it sees.
        fitted.evaluate(batches.take(1), verbose=0)


def restore(start: Checkpoint, network: keras.Model, callbacks: Callbacks) -> None:
    """Restores a compiled and built network, its optimizer and its callbacks."""
    _assign(network.variables, start.arrays["model"])
    _assign(network.optimizer.variables, start.arrays["optimizer"])
    if callbacks.stopping:
        for name, value in start.state.stopping.items():
            setattr(callbacks.stopping, name, value)
        if best := start.arrays.get("best"):
            callbacks.stopping.best_weights = list(best)
    if callbacks.diagnosis and start.state.diagnosis:
        callbacks.diagnosis.restore(start.state.diagnosis, start.arrays["diagnosis"])


def save_trained(
    checkpoints: Checkpoints, network: keras.Model, history: Mapping[str, Sequence[float]]
) -> None:
    """Writes the checkpoint of a network whose training has ended."""
    state = State(trained=True, history=_numbers(history), variables=described(network))
    checkpoints.write(Checkpoint(state, {"model": _values(network.variables)}))


def restore_trained(start: Checkpoint, network: keras.Model) -> None:
    """Restores a network whose training has ended."""
    _assign(network.variables, start.arrays["model"])


class Continued(keras.callbacks.CallbackList):
    """Callbacks of a training that goes on within an epoch.

    Keras counts the batches of an epoch from 0. So the batches that were trained on before the
    checkpoint are counted again, but neither read nor trained on, and no callback hears of them.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        *,
        model: keras.Model,
        epochs: int,
        steps: int,
        done: int,
    ) -> None:
        """Takes the number of batches of the first epoch that are done."""
        super().__init__([*callbacks], add_history=True, model=model, epochs=epochs, steps=steps)
        self._fitted, self._done, self._counting = model, done, False

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self._done:
            self._train = self._fitted.train_function
            self._fitted.train_function = self._count

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._counting = batch < self._done
        if not self._counting:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if not self._counting:
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self._done:
            self._done, self._fitted.train_function = 0, self._train
        super().on_epoch_end(epoch, logs)

    def _count(self, iterator: Any) -> Any:
        return self._fitted.get_metrics_result() if self._counting else self._train(iterator)


def schedule(optimizer: keras.Optimizer) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the schedule of an optimizer's learning rate."""
    return getattr(optimizer, "inner_optimizer", optimizer)._learning_rate


def slow_down(
    fitted: keras.Model, schedule: keras.optimizers.schedules.LearningRateSchedule, factor: float
) -> None:
    """Has a compiled model learn at a fraction of a schedule's learning rate."""
    optimizer = getattr(fitted.optimizer, "inner_optimizer", fitted.optimizer)
    rate = schedule if factor == 1 else _Scaled(schedule, factor)
    if optimizer._learning_rate is not rate:
        optimizer.learning_rate = rate
        fitted.make_train_function(force=True)


class _Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor."""

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, factor: float
    ) -> None:
        super().__init__()
        self._schedule, self._factor = schedule, factor

    def __call__(self, step: Any) -> Any:
        return self._factor * self._schedule(step)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": self._schedule, "factor": self._factor}


def _values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [np.array(variable.numpy()) for variable in variables]


def _assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def described(network: keras.Model) -> list[str]:
    """Returns what a network's variables are, as "kernel (3, 3, 1, 16)", in their order."""
    # Paths have numbers that depend on what the process has built before.
    return [f"{variable.name} {tuple(variable.shape)}" for variable in network.variables]


def _finite(arrays: Sequence[np.ndarray]) -> bool:
    return all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f")


def _numbers(history: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {name: [float(value) for value in values] for name, values in history.items()}


def _stopping(stopping: keras.callbacks.EarlyStopping | None) -> dict[str, Any]:
    values = {name: getattr(stopping, name, None) for name in _STOPPING}
    return {
        name: value if isinstance(value, int) else float(value)
        for name, value in values.items()
        if value is not None
    }


def _averaged(averaging: keras.callbacks.SwapEMAWeights | None) -> bool:
    return bool(averaging and averaging._ema_weights_in_model)
