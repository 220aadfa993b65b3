"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipelines.recipe import Optimizer


def optimizer(config: Optimizer, steps: int) -> keras.Optimizer:
    """Returns AdamW with linear warmup and a decay over `steps` updates.

    Averaging weights over the updates: Polyak & Juditsky, "Acceleration of Stochastic Approximation
    by Averaging", 1992.
    """
    warmup = int(config.warmup * steps)
    schedule: keras.optimizers.schedules.LearningRateSchedule
    if config.schedule == "inverse_sqrt":
        schedule = InverseSquareRoot(config.learning_rate, max(1, warmup))
    else:
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else config.learning_rate,
            decay_steps=max(1, steps - warmup),
            warmup_target=config.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    adamw = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm or None,
        use_ema=config.average > 0,
        # The average starts from the untrained weights, which must not dominate a short run.
        ema_momentum=min(config.average, max(0.0, 1 - 4 / steps)),
    )
    adamw.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return adamw


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
