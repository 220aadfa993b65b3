"""Loss and scores of quantile forecasts, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.predictions import Predictions
from pipelines.tasks.forecasting.metrics import LEVELS, pinball, reduce, scores


def test_the_loss_weighs_errors_by_the_level():
    quantiles = np.zeros((1, 2, 5), np.float32)
    target = np.array([[4.0, -2.0]], np.float32)
    above = 4.0 * np.array(LEVELS)
    below = 2.0 * (1 - np.array(LEVELS))
    loss = pinball(target, quantiles)
    np.testing.assert_allclose(loss, [(above + below).mean() / 2], rtol=1e-6)


def test_the_loss_is_lowest_at_the_quantiles():
    values = np.random.default_rng(0).exponential(size=20_001).astype(np.float32)
    right = np.quantile(values, LEVELS).astype(np.float32)

    def cost(quantiles: np.ndarray) -> float:
        every = np.broadcast_to(quantiles, (len(values), 1, 5))
        return float(np.mean(pinball(values[:, None], every)))

    for index in range(5):
        for step in (-0.05, 0.05):
            wrong = right.copy()
            wrong[index] += step
            assert cost(right) < cost(wrong)


def predicted(target, forecast, quantiles, scale: float) -> Predictions:
    return Predictions(
        {"target": np.array(target), "scale": np.full(len(target), scale)},
        {"forecast": np.array(forecast), "quantiles": np.array(quantiles)},
    )


def test_scores_worked_out_by_hand():
    quantiles = [[[1, 2, 3, 4, 5]] * 2] * 2
    got = scores(
        reduce(predicted([[3.0, 6.0], [1.0, 0.0]], [[3.0, 3.0], [3.0, 3.0]], quantiles, 4.0))
    )
    assert got["mae"] == pytest.approx((0 + 3 + 2 + 3) / 4)
    assert got["mase"] == pytest.approx(got["mae"] / 4)
    assert got["smape"] == pytest.approx((0 + 6 / 9 + 4 / 4 + 6 / 3) / 4)
    assert got["coverage"] == pytest.approx(2 / 4)
    costs = [
        level * max(y - q, 0) + (1 - level) * max(q - y, 0)
        for y in (3, 6, 1, 0)
        for q, level in enumerate(LEVELS, 1)
    ]
    assert got["pinball"] == pytest.approx(np.mean(costs))


def test_nothing_said_of_nothing_is_no_error():
    zeros = np.zeros((2, 3))
    got = scores(reduce(predicted(zeros, zeros, np.zeros((2, 3, 5)), 1.0)))
    assert got == {"mase": 0, "mae": 0, "smape": 0, "pinball": 0, "coverage": 1}
