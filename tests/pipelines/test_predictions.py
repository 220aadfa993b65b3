"""Predictions: examples and what is predicted for them stay together."""

from __future__ import annotations

import numpy as np

from pipelines.predictions import Predictions


def test_taken_examples_keep_their_predictions_and_may_repeat():
    predictions = Predictions(
        {"target": np.arange(4), "name": np.array(["a", "b", "c", "d"])},
        {"logits": np.arange(8).reshape(4, 2)},
    )
    taken = predictions.take(np.array([3, 0, 3]))
    assert len(taken) == 3
    assert taken.examples["target"].tolist() == [3, 0, 3]
    assert taken.examples["name"].tolist() == ["d", "a", "d"]
    assert taken.predicted["logits"].tolist() == [[6, 7], [0, 1], [6, 7]]
    assert len(predictions) == 4
