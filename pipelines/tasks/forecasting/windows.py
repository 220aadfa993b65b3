"""Windows of series as examples, which are cut and standardized as they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from pipelines.tasks.forecasting.scaling import standardized


@dataclass(frozen=True)
class WindowExamples:
    """Windows of series, see `SeriesData`.

    Attributes:
        steps: The values of all series, one after the other, float64 [steps].
        ahead: What is known of the steps in advance, float32 [steps, features]; None for nothing.
        starts: The first step of each history, int64 [windows].
        levels: What histories and futures are standardized with, float64 [windows].
        deviations: Likewise.
        weights: float32 [windows].
        history: Length of the input window in steps.
        horizon: Forecast horizon in steps.
    """

    steps: tf.Tensor
    ahead: tf.Tensor | None
    starts: tf.Tensor
    levels: tf.Tensor
    deviations: tf.Tensor
    weights: tf.Tensor
    history: int
    horizon: int

    @property
    def lengths(self) -> None:
        """All are of one length."""

    def batch(self, numbers: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Returns the windows of some numbers, int64 [batch]."""
        starts, level, deviation, weight = (
            tf.gather(column, numbers)
            for column in (self.starts, self.levels, self.deviations, self.weights)
        )
        places = starts[:, tf.newaxis] + tf.range(self.history + self.horizon, dtype=tf.int64)
        values = tf.gather(self.steps, places)
        standard = tf.cast(standardized(values, level, deviation), tf.float32)
        inputs = {"history": standard[:, : self.history], "level": level, "deviation": deviation}
        if self.ahead is not None:
            inputs["covariates"] = tf.gather(self.ahead, places)
        return inputs, standard[:, self.history :], weight
