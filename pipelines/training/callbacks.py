"""Callbacks of training, and the log that they write to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras
from matplotlib.figure import Figure

from pipelines.errors import TrainingError
from pipelines.progress import Stage
from pipelines.recipe import Recipe

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

    def steps(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Logs metrics of several steps of training at once."""

    def diagnosis(self, patterns: Sequence[str], report: str, table: str) -> None:
        """Logs the names of recognized patterns, the report on them, and a table of all values."""

    def figure(self, name: str, figure: Figure) -> None:
        """Logs a figure."""


class Epochs(keras.callbacks.Callback):
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


class Samples(keras.callbacks.Callback):
    """Logs the text that the network generates after each epoch."""

    def __init__(self, log: Log, sample: Callable[[], str]) -> None:
        super().__init__()
        self._log, self._sample = log, sample

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._log.samples(self._sample(), step=epoch + 1)
