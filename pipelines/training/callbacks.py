"""Callbacks of training, and the log that they write to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras
from matplotlib.figure import Figure

from pipelines.errors import DivergenceError
from pipelines.progress import Stage
from pipelines.recipe import Recipe

# Between two looks at the running loss.
_SECONDS = 0.5


class Log(Protocol):
    """What training logs; an MLflow run keeps it."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Logs the metrics of one epoch, under the names that Keras gives them."""

    def samples(self, text: str, step: int) -> None:
        """Logs the text that the network generated after an epoch."""

    def history(
        self,
        history: Mapping[str, Sequence[float]],
        *,
        kept: int | None = None,
        better: Mapping[str, bool] | None = None,
    ) -> None:
        """Logs the learning curves of all epochs.

        Args:
            history: Values per epoch by name.
            kept: The epoch, from 1 on, whose weights are kept.
            better: By metric, whether higher values are better.
        """

    def steps(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Logs metrics of several steps of training at once."""

    def diagnosis(self, patterns: Sequence[str], report: str, table: str) -> None:
        """Logs the names of recognized patterns, the report on them, and a table of all values."""

    def figure(self, name: str, figure: Figure) -> object:
        """Logs a figure."""


class Epochs(keras.callbacks.Callback):
    """Logs each epoch's metrics and speed, moves the progress bar, and ends a hopeless training."""

    def __init__(
        self,
        log: Log,
        bar: Stage,
        recipe: Recipe,
        *,
        examples: int,
        steps: int,
        validation_steps: int,
        restores: int = 0,
    ) -> None:
        """Takes the sizes of an epoch, and how often training has gone back to a checkpoint.

        Args:
            log: What metrics are logged to.
            bar: The progress of the training, a step for each epoch.
            recipe: The recipe of the training.
            examples: Number of training examples.
            steps: Number of training batches.
            validation_steps: Number of validation batches.
            restores: How often training has gone back.
        """
        super().__init__()
        self._log, self._bar, self._recipe, self._restores = log, bar, recipe, restores
        self._batch, self._steps = examples / steps, steps
        self._all_steps = steps + validation_steps
        self._epoch, self._first, self._shown, self._validation = -1, True, 0.0, ""
        self._began, self._before, self._done, self._trained = 0.0, 0, 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        # The first epoch's time is mostly tracing.
        self._first, self._epoch = self._epoch < 0, epoch
        self._began, self._before, self._done = time.perf_counter(), 0, 0

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if not self._done:
            self._before = batch  # Above 0 in an epoch that goes on from a checkpoint.

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if self._first and not self._done:
            self._began, self._before = time.perf_counter(), batch + 1
        self._done = batch + 1
        # Reading the loss more often would wait for the device.
        if time.perf_counter() - self._shown < _SECONDS:
            return
        self._shown = time.perf_counter()
        loss = float((logs or {})["loss"])
        self._check("loss", loss)
        parts = [f"loss {loss:.4f} so far", self._validation, _rate(self._speed(self._shown))]
        self._bar.within(min((batch + 1) / self._all_steps, 1.0), ", ".join(filter(None, parts)))

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        values["learning_rate"] = float(self.model.optimizer.learning_rate)
        speed = self._speed(self._trained)
        if not self._first and speed:
            values["examples_per_second"] = speed
        if self._restores:
            values["restores"] = self._restores
        going_back = self._recipe.on_nan == "restore"
        if not going_back:
            self._log.metrics(values, step=epoch + 1)
        self._check("loss", values["loss"])
        self._check("validation loss", values["val_loss"])
        if going_back:  # The values of an epoch that is repeated would be there twice.
            self._log.metrics(values, step=epoch + 1)
        watched = [name for name in values if name.startswith("val_")]
        # Metrics say more than losses, where there are any.
        watched.sort(key=lambda name: name.endswith("loss"))
        self._validation = f"validation {watched[0].removeprefix('val_')} {values[watched[0]]:.4f}"
        parts = [f"loss {values['loss']:.4f}", self._validation, _rate(speed)]
        self._bar.advance(", ".join(filter(None, parts)))

    def _speed(self, now: float) -> float:
        """Returns the examples per second of the epoch so far; 0 if there is nothing to count."""
        seconds, batches = now - self._began, self._done - self._before
        return batches * self._batch / seconds if batches > 0 and seconds > 0 else 0.0

    def _check(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        optimizer = self._recipe.optimizer
        advice = [f"a lower --optimizer.learning_rate than {optimizer.learning_rate:g}"]
        if not optimizer.clip_norm:
            advice.append("--optimizer.clip_norm 1")
        if self._recipe.precision != "float32":
            advice.append("--precision float32")
        raise DivergenceError(
            f"the {what} became {value} in epoch {self._epoch + 1}; try {' or '.join(advice)}"
        )


class Samples(keras.callbacks.Callback):
    """Logs the text that the network generates after each epoch."""

    def __init__(self, log: Log, sample: Callable[[], str]) -> None:
        super().__init__()
        self._log, self._sample = log, sample

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._log.samples(self._sample(), step=epoch + 1)


def _rate(speed: float) -> str:
    """Returns a speed as "1,234 examples/s", or nothing if it is not known."""
    return f"{speed:,.0f} examples/s" if speed >= 10 else f"{speed:.2g} examples/s" if speed else ""
