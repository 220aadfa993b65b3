"""Learning-rate schedules, as functions of the number of updates that are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from pipelines.recipe import Optimizer

# One cycle begins at this fraction of its peak, and ends at that one.
_CYCLE_START, _CYCLE_END = 1 / 25, 1 / 25e4


def schedule(
    config: Optimizer, updates: int, epochs: int = 1
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a linear warmup from 0 and what follows it.

    One cycle (Smith & Topin, "Super-Convergence", 2018) rises to its peak during the warmup, from
    1/25 of it, and falls to 4e-6 of it like a cosine. Momentum stays as it is.

    Args:
        config: Kind, peak, warmup and what the kind needs.
        updates: Number of updates of the whole training.
        epochs: Number of epochs, in which milestones are counted.
    """
    schedules = keras.optimizers.schedules
    peak, warmup = config.learning_rate, int(config.warmup * updates)
    rest = max(1, updates - warmup)
    if config.schedule == "inverse_sqrt":
        return InverseSquareRoot(peak, max(1, warmup))
    if config.schedule == "cosine":
        return schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else peak,
            decay_steps=rest,
            warmup_target=peak if warmup else None,
            warmup_steps=warmup,
        )
    if config.schedule == "one_cycle":
        return schedules.CosineDecay(
            initial_learning_rate=peak * _CYCLE_START,
            decay_steps=rest,
            alpha=_CYCLE_END,
            warmup_target=peak,
            warmup_steps=max(1, warmup),
        )
    after: dict[str, Callable[[], Any]] = {
        "constant": lambda: schedules.PolynomialDecay(peak, rest, end_learning_rate=peak),
        "linear": lambda: schedules.PolynomialDecay(peak, rest, end_learning_rate=0.0),
        "polynomial": lambda: schedules.PolynomialDecay(
            peak, rest, end_learning_rate=0.0, power=config.power or 2.0
        ),
        "step": lambda: schedules.PiecewiseConstantDecay(
            # The last update of an epoch still has that epoch's learning rate.
            [round(epoch * updates / epochs) - warmup - 1 for epoch in config.milestones],
            [peak * config.step_factor**count for count in range(len(config.milestones) + 1)],
        ),
    }
    decay = after[config.schedule]()
    return Warmup(decay, peak, warmup) if warmup else decay


@keras.saving.register_keras_serializable(package="pipelines")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup from 0 to a peak, then another schedule, which begins there."""

    def __init__(
        self, after: keras.optimizers.schedules.LearningRateSchedule, peak: float, warmup_steps: int
    ) -> None:
        """Takes the schedule, the peak, and the step at which it is reached."""
        super().__init__()
        self.after, self.peak, self.warmup_steps = after, peak, warmup_steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rising = self.peak * step / self.warmup_steps
        after = self.after(ops.maximum(step - self.warmup_steps, 0.0))
        return ops.where(step < self.warmup_steps, rising, after)

    def get_config(self) -> dict[str, Any]:
        after = keras.saving.serialize_keras_object(self.after)
        return {"after": after, "peak": self.peak, "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Warmup:
        after = keras.saving.deserialize_keras_object(config["after"])
        return cls(after, config["peak"], config["warmup_steps"])


@keras.saving.register_keras_serializable(package="pipelines")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup to a peak, then decay with the inverse square root of the step.

    Vaswani et al., "Attention Is All You Need", 2017, equation 3, where the peak follows from the
    width and the warmup: (width * warmup_steps) ** -0.5.
    """

    def __init__(self, learning_rate: float, warmup_steps: int) -> None:
        """Takes the peak and the step, counted from 1, at which it is reached."""
        super().__init__()
        self.learning_rate, self.warmup_steps = learning_rate, warmup_steps

    def __call__(self, step: Any) -> Any:
        progress = (ops.cast(step, "float32") + 1) / self.warmup_steps
        return self.learning_rate * ops.minimum(progress, ops.rsqrt(progress))

    def get_config(self) -> dict[str, Any]:
        return {"learning_rate": self.learning_rate, "warmup_steps": self.warmup_steps}
