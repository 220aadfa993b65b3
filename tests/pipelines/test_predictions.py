"""Predictions: examples and what is predicted for them stay together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from pipelines.predictions import Predictions, collected, in_common


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


def in_batches(size: int, batch: int = 4, texts: bool = False) -> Iterator[Predictions]:
    """Predictions of 100 bytes for each example, or of one text."""
    for start in range(0, size, batch):
        row = np.arange(start, min(size, start + batch))
        value = np.repeat(row[:, None], 100, 1).astype(np.uint8)
        yield Predictions({}, {"text": row.astype(object)} if texts else {"value": value})


def halved(predictions: Predictions) -> Predictions:
    return predictions.reduced({"half": predictions.predicted["value"][:, 0] / 2})


@pytest.mark.parametrize("most", [1000 * 108, 1000 * 108 - 1, 10_000, 108, 0])
def test_a_sample_fits_and_is_spread_evenly(most):
    reduced, sample = collected(in_batches(1000, 7), halved, most)
    assert reduced.statistics["half"].tolist() == (np.arange(1000) % 256 / 2).tolist()
    np.testing.assert_array_equal(sample.predicted["value"][:, 99], sample.rows % 256)
    assert max(1, most // 108 // 3) <= len(sample) <= max(1, most // 108)
    assert sample.rows[0] == 0
    gaps = np.diff([*sample.rows, 1000])
    assert gaps.max() <= 3 * 1000 / len(sample)
    if len(sample) > 50:
        assert 0.4 < (sample.rows % 2).mean() < 0.6, "no order of the split matters"


def test_texts_take_room_too():
    _, sample = collected(in_batches(20, texts=True), lambda batch: batch, 19 * (128 + 8))
    assert 5 <= len(sample) < 15
    assert sample.predicted["text"].tolist() == sample.rows.tolist()


def test_samples_of_several_models_have_the_examples_in_common():
    samples = [
        collected(in_batches(100, batch), halved, 100 * 108 // share)[1]
        for share, batch in ((1, 7), (2, 3), (4, 20))
    ]
    whole, half, quarter = samples
    assert len(whole) > len(half) > len(quarter) > 5
    for sample in in_common(half, whole, quarter):
        assert sample.rows.tolist() == quarter.rows.tolist()
        assert sample.predicted["value"][:, 0].tolist() == quarter.rows.tolist()


def test_predictions_that_are_no_sample_are_numbered_through():
    predictions = Predictions({"target": np.zeros(3)}, {})
    assert predictions.rows.tolist() == [0, 1, 2]


def test_reduced_predictions_keep_their_blocks_and_count_their_examples():
    predictions = Predictions({"target": np.zeros(3), "block": np.array([4, 4, 5])}, {})
    reduced = predictions.reduced({"right": np.array([True, False, True])})
    assert reduced.examples.keys() == {"block"}
    assert reduced.total("examples") == 3
    assert reduced.mean("right") == pytest.approx(2 / 3)
    assert reduced.statistics["right"].dtype == np.float64
