"""Training: building, fitting and device placement; the same for every task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras
import tensorflow as tf

from pipelines import batching, distiller
from pipelines.config import Recipe
from pipelines.datasets.dataset import Dataset
from pipelines.errors import TrainingError
from pipelines.optimizers import optimizer
from pipelines.progress import Stage, stage
from pipelines.task import Network, Task

# Between two looks at the running loss.
_SECONDS = 0.5


class Log(Protocol):
    """What training logs; an MLflow run keeps it."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Logs the metrics of one epoch."""

    def samples(self, text: str, step: int) -> None:
        """Logs the text that the network generated after an epoch."""

    def history(self, history: Mapping[str, Sequence[float]]) -> None:
        """Logs the learning curves of all epochs."""


def build(task: Task, data: Dataset) -> Network:
    """Builds and compiles a network, seeded, in its precision and on every GPU there is."""
    recipe = task.config.recipe
    keras.utils.set_random_seed(recipe.seed)
    steps = batching.steps_per_epoch(data, recipe.batch_size)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with strategy().scope():
            network = _network(task, data)
            network.model.compile(
                optimizer=optimizer(recipe.optimizer, steps * recipe.epochs),
                loss=task.loss(data),
                weighted_metrics=task.metrics(data),
                # XLA would compile again for every length.
                jit_compile=False if batching.is_sequence(data.train) else "auto",
            )
    finally:
        keras.config.set_dtype_policy("float32")
    return network


def fit(task: Task, network: Network, data: Dataset, log: Log) -> Network:
    """Trains a built network and returns it in float32.

    With `patience`, its weights are those of the epoch with the lowest validation loss. With
    `average`, they are averages, of that epoch if there is patience too; validation after each
    epoch already uses the averages, so its values are those of the weights that are kept.

    Raises:
        TrainingError: The loss became infinite or no number.
    """
    recipe, model = task.config.recipe, network.model
    steps = batching.steps_per_epoch(data, recipe.batch_size)
    steps += -(-data.sizes["validation"] // recipe.batch_size)
    with stage("train", recipe.epochs) as bar:
        callbacks: list[keras.callbacks.Callback] = []
        if recipe.optimizer.average:
            callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
        callbacks.append(_Epochs(log, bar, recipe, data.sizes["train"], steps))
        if sample := task.sampler(network, data):
            callbacks.append(_Samples(log, sample))
        stopping = keras.callbacks.EarlyStopping(
            patience=recipe.patience, restore_best_weights=True
        )
        if recipe.patience:
            callbacks.append(stopping)
        fitted = model
        if task.teacher:
            with strategy().scope():
                fitted = distiller.training_model(
                    task.teacher, model, loss=task.loss(data), metrics=task.metrics(data)
                )
        history = fitted.fit(
            batching.training_batches(task, data),
            validation_data=batching.evaluation_batches(task, data.validation, recipe.batch_size),
            epochs=recipe.epochs,
            callbacks=callbacks,
            shuffle=False,  # The batches come shuffled.
            verbose=0,
        )
        if recipe.patience:
            kept = "averaged weights" if recipe.optimizer.average else "weights"
            best = stopping.best_epoch + 1
            bar.finish(f"keeps the {kept} of epoch {best}, with the lowest validation loss")
    log.history(history.history)
    if recipe.precision == "float32":
        return network
    # Mixed precision is for training: the exported model computes in float32.
    exported = _network(task, data)
    exported.model.set_weights(model.get_weights())
    return exported


def _network(task: Task, data: Dataset) -> Network:
    network = task.network(data)
    return distiller.adapt(task.teacher, network) if task.teacher else network


def strategy() -> tf.distribute.Strategy:
    """Returns data parallelism over this machine's GPUs, if it has several."""
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def device() -> str:
    """Returns the training device, as "CPU" or "2 x NVIDIA H100"."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{len(gpus)} x {name}"


class _Epochs(keras.callbacks.Callback):
    """Logs each epoch's metrics and speed, moves the progress bar, and ends a hopeless training."""

    def __init__(self, log: Log, bar: Stage, recipe: Recipe, examples: int, steps: int) -> None:
        """Takes the number of training examples, and that of batches with those of validation."""
        super().__init__()
        self._log, self._bar, self._recipe = log, bar, recipe
        self._examples, self._steps = examples, steps
        self._epoch, self._started, self._trained, self._shown = 0, 0.0, 0.0, 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._epoch, self._started = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        # Reading the loss more often would wait for the device.
        if time.perf_counter() - self._shown < _SECONDS:
            return
        self._shown = time.perf_counter()
        loss = float((logs or {})["loss"])
        self._check("loss", loss)
        # The values of the last epoch say more than the running loss.
        note = "" if self._epoch else f"loss {loss:.4f} so far"
        self._bar.within(min((batch + 1) / self._steps, 1.0), note)

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        values = {
            name if name.startswith("val_") else f"train_{name}": float(value)
            for name, value in (logs or {}).items()
        }
        values["learning_rate"] = float(self.model.optimizer.learning_rate)
        if epoch:  # The first epoch's time is mostly tracing.
            values["examples_per_second"] = self._examples / (self._trained - self._started)
        self._log.metrics(values, step=epoch + 1)
        self._check("loss", values["train_loss"])
        self._check("validation loss", values["val_loss"])
        watched = [name for name in values if name.startswith("val_")]
        # Metrics say more than losses, where there are any.
        watched.sort(key=lambda name: name.endswith("loss"))
        self._bar.advance(
            f"loss {values['train_loss']:.4f}, "
            f"validation {watched[0].removeprefix('val_')} {values[watched[0]]:.4f}"
        )

    def _check(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        optimizer = self._recipe.optimizer
        advice = [f"a lower --optimizer.learning_rate than {optimizer.learning_rate:g}"]
        if not optimizer.clip_norm:
            advice.append("--optimizer.clip_norm 1")
        if self._recipe.precision != "float32":
            advice.append("--precision float32")
        raise TrainingError(
            f"the {what} became {value} in epoch {self._epoch + 1}; try {' or '.join(advice)}"
        )


class _Samples(keras.callbacks.Callback):
    """Logs the text that the network generates after each epoch."""

    def __init__(self, log: Log, sample: Callable[[], str]) -> None:
        super().__init__()
        self._log, self._sample = log, sample

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._log.samples(self._sample(), step=epoch + 1)
