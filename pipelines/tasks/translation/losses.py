"""The loss of translation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pipelines")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy with label smoothing.

    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7.
    Losses, [batch, tokens], are averaged with their weights, so padding does not count.

    Args:
        smoothing: Fraction of each target's probability that is spread evenly over all tokens.
    """

    def __init__(
        self, smoothing: float, name: str = "smoothed_cross_entropy", **options: Any
    ) -> None:
        super().__init__(name=name, **{"reduction": "mean_with_sample_weight", **options})
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        log_probs = ops.log_softmax(y_pred, axis=-1)
        ids = ops.expand_dims(ops.cast(y_true, "int32"), -1)
        truth = ops.squeeze(ops.take_along_axis(log_probs, ids, axis=-1), -1)
        if not self.smoothing:
            return -truth
        return -(1 - self.smoothing) * truth - self.smoothing * ops.mean(log_probs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "smoothing": self.smoothing}
