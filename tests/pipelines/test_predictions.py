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


def test_written_predictions_are_the_numbers_that_fit(tmp_path, monkeypatch):
    predictions = Predictions(
        {"target": np.arange(4), "text": np.array(["a", "b", "c", "d"], object)},
        {"logits": np.ones((4, 2), np.float32), "maps": np.ones((4, 99))},
    )
    predictions.write(tmp_path / "all")
    with np.load(tmp_path / "all" / "test.npz") as found:
        assert set(found) == {"examples.target", "predicted.logits", "predicted.maps"}
        np.testing.assert_array_equal(found["examples.target"], np.arange(4))
    assert (tmp_path / "all" / "left_out.txt").read_text() == "examples.text\n"
    monkeypatch.setattr("pipelines.predictions._MAX_BYTES", 100)
    predictions.write(tmp_path / "few")
    with np.load(tmp_path / "few" / "test.npz") as found:
        assert set(found) == {"examples.target", "predicted.logits"}
    left_out = (tmp_path / "few" / "left_out.txt").read_text()
    assert left_out == "examples.text\npredicted.maps\n"
