"""The time of a request."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from pipelines import latency
from pipelines.export.signature import Signature
from pipelines.latency import milliseconds


def test_the_time_is_that_of_one_example_without_the_tracing():
    rows: list[int] = []

    def slow(x: tf.Tensor) -> dict[str, tf.Tensor]:
        time.sleep(0.2)  # While it is traced.

        def wait(x: np.ndarray) -> np.ndarray:
            rows.append(len(x))
            time.sleep(0.004)
            return x

        return {"y": tf.numpy_function(wait, [x], tf.float32)}

    examples = {"x": np.ones((5, 2), np.float32)}
    signature = Signature("s", slow, {"x": tf.TensorSpec([None, 2])}, examples, {})
    assert 4 <= milliseconds(signature) < 100
    assert len(rows) <= 51
    assert set(rows) == {1}


def test_a_slow_model_is_not_asked_for_long(monkeypatch):
    monkeypatch.setattr(latency, "_SECONDS", 0.1)
    asked: list[int] = []

    def wait(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        time.sleep(0.06)
        return x

    signature = Signature(
        "s",
        lambda x: {"y": tf.numpy_function(wait, [x], tf.float32)},
        {"x": tf.TensorSpec([None])},
        {"x": np.ones(2, np.float32)},
        {},
    )
    assert milliseconds(signature) >= 60
    assert len(asked) == 3
