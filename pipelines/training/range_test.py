"""The learning-rate range test: what loss a network has while its learning rate rises.

Smith, "Cyclical Learning Rates for Training Neural Networks", 2017 (first as arXiv:1506.01186 in
2015), raises the rate linearly and looks where the loss falls and where it begins to grow. As has
become usual, the rate rises exponentially here, since good ones differ by powers of ten, and the
loss is smoothed by a moving average without bias (Gugger, "How Do You Find A Good Learning Rate",
2018). The suggestion is the lower of two rates: the one where the smoothed loss falls most steeply,
and a tenth of the one where it is lowest, the rule of the latter: at the lowest loss, training is
about to diverge. Where normalization keeps it from diverging at all, the steepest fall is what
counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from pipelines import style
from pipelines.datasets.dataset import Dataset
from pipelines.errors import TrainingError
from pipelines.progress import Stage, stage
from pipelines.style import NETWORK, OTHER, WRONG, styled
from pipelines.task import Network, Task
from pipelines.training import batching, trainer

LOWEST, HIGHEST = 1e-6, 10.0
_UPDATES = 140  # Twenty for each power of ten.
_SMOOTHING = 0.9
# The test ends where the smoothed loss is this many times the lowest one.
_DIVERGED = 4.0
# Updates before the first look at divergence.
_FIRST = 10
_BELOW_LOWEST = 0.1


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test.

    Attributes:
        rates: float [updates], learning rate of each update.
        losses: float [updates], loss of the batch before each update.
        smoothed: float [updates].
        suggestion: The suggested peak of the learning rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float

    @property
    def option(self) -> str:
        """The suggestion as an option of the command line."""
        return f"--optimizer.learning_rate {self.suggestion:.1e}"

    def metrics(self) -> dict[int, dict[str, float]]:
        """Returns rate and loss of each update, as metrics of a run."""
        return {
            update: {"range_test/learning_rate": float(rate), "range_test/loss": float(loss)}
            for update, (rate, loss) in enumerate(zip(self.rates, self.losses, strict=True))
        }

    @styled
    def figure(self) -> Figure:
        """Plots the loss over the learning rate, with the suggestion."""
        figure = Figure(figsize=(6.5, 4.4), layout="constrained")
        style.title(figure, "Learning-rate range test")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color=OTHER, alpha=0.5, label="loss of a batch")
        axes.plot(self.rates, self.smoothed, color=NETWORK, label="smoothed")
        lowest = int(np.argmin(self.smoothed))
        axes.plot(self.rates[lowest], self.smoothed[lowest], "o", color=NETWORK, label="lowest")
        axes.axvline(self.suggestion, color=WRONG, label=f"suggested: {self.suggestion:.1e}")
        top = float(np.median(self.smoothed[:_FIRST])) * 1.5
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        style.powers(axes.xaxis)
        axes.set_ylim(top=max(top, float(self.smoothed.min()) * 2))
        axes.grid()
        figure.legend(loc="outside lower left", ncols=4)
        return figure


def find(task: Task, network: Network, data: Dataset) -> RangeTest:
    """Raises the learning rate of a built network until its loss diverges.

    Weights, the state of the optimizer, and its schedule are afterwards as they were.

    Raises:
        TrainingError: The loss was no number from the beginning, or did not fall anywhere.
    """
    fitted = trainer.fitted_model(task, network, data)
    optimizer, batch_size = network.model.optimizer, task.config.recipe.batch_size
    with fitted.distribute_strategy.scope():
        if not optimizer.built:
            optimizer.build(network.model.trainable_variables)
    variables = {id(v): v for v in (*fitted.variables, *optimizer.variables)}.values()
    before, schedule = [v.numpy() for v in variables], _schedule(optimizer)
    accumulate = max(1, task.config.recipe.optimizer.accumulate)
    steps = _UPDATES * accumulate
    optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(
        LOWEST, decay_steps=_UPDATES - 1, decay_rate=HIGHEST / LOWEST
    )
    per_execution, fitted.steps_per_execution = fitted.steps_per_execution, 1
    batches = batching.training_batches(task, data)
    epochs = math.ceil(steps / batching.steps_per_epoch(data, batch_size))
    try:
        with stage("range test") as bar:
            rising = _Rising(bar, steps)
            fitted.fit(batches, epochs=epochs, callbacks=[rising], shuffle=False, verbose=0)
    finally:
        optimizer.learning_rate, fitted.steps_per_execution = schedule, per_execution
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        fitted.make_train_function(force=True)
    return suggested(np.array(rising.rates), np.array(rising.losses))


def suggested(rates: np.ndarray, losses: np.ndarray) -> RangeTest:
    """Returns the suggestion that follows from the loss at each rate, float [updates] both.

    Raises:
        TrainingError: The loss was no number from the beginning, or did not fall anywhere.
    """
    finite = int(np.argmin(np.isfinite(losses))) if not np.isfinite(losses).all() else len(losses)
    rates, losses = rates[:finite], losses[:finite]
    if finite < _FIRST:
        raise TrainingError("the range test suggests nothing: the loss is no number from the start")
    smoothed = smooth(losses)
    # The first values are those of a few batches.
    lowest = _FIRST - 1 + int(np.argmin(smoothed[_FIRST - 1 :]))
    if lowest == _FIRST - 1:
        raise TrainingError(
            f"the range test suggests nothing: the loss falls at no learning rate between "
            f"{rates[0]:.0e} and {rates[-1]:.0e}"
        )
    falling = slice(_FIRST - 1, lowest + 1)
    slopes = np.gradient(smooth(smoothed), np.log(rates))[falling]
    steepest = rates[falling][int(np.argmin(slopes))]
    return RangeTest(rates, losses, smoothed, float(min(steepest, rates[lowest] * _BELOW_LOWEST)))


def smooth(losses: np.ndarray) -> np.ndarray:
    """Returns the exponential moving average of each value and those before it, without bias."""
    average, smoothed = 0.0, []
    for number, loss in enumerate(losses, 1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        smoothed.append(average / (1 - _SMOOTHING**number))
    return np.array(smoothed)


class _Rising(keras.callbacks.Callback):
    """Keeps rate and loss of each update, and ends the test when the loss diverges."""

    def __init__(self, bar: Stage, steps: int) -> None:
        super().__init__()
        self._bar, self._steps, self._step, self._rate = bar, steps, 0, 0.0
        self.rates: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._rate = float(self.model.optimizer.learning_rate)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._step += 1
        loss = float((logs or {})["loss"])
        self.model.reset_metrics()  # Or Keras averages over the epoch.
        self.rates.append(self._rate)
        self.losses.append(loss)
        smoothed = smooth(np.array(self.losses))
        self._bar.within(self._step / self._steps, f"{self._rate:.1e}: loss {smoothed[-1]:.4f}")
        lowest = smoothed[_FIRST:].min() if len(smoothed) > _FIRST else math.inf
        diverged = smoothed[-1] > _DIVERGED * lowest and lowest > 0
        if diverged or not math.isfinite(loss) or self._step == self._steps:
            self.model.stop_training = True


def _schedule(optimizer: keras.Optimizer) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)._learning_rate
