"""Evaluation: every example once, in its order, and intervals that mean what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines import evaluation
from pipelines.evaluation import intervals, joined, predict
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.image_classification.task import ImageClassification
from tests.pipelines import samples

TASK = samples.Doubles()
LENGTHS = (2, 5, 1, 9, 3, 3, 4)


@pytest.fixture(scope="module")
def model():
    """A network whose answers can be worked out by hand: three times the number, less one."""
    network = TASK.model(samples.config(), samples.sequences())
    network.set_weights([np.array([[3.0]]), np.array([-1.0])])
    return network


def numbers(index: int) -> np.ndarray:
    """Returns what the example at `index` holds, in thousands."""
    return index + 1 + np.arange(LENGTHS[index]) / 1000


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_predictions_are_in_the_order_of_the_split_and_padded_with_zeros(model, batch_size):
    data = samples.sequences(test=LENGTHS)
    predictions = predict(TASK, model, data, "test", batch_size)
    assert len(predictions) == len(LENGTHS)
    assert set(predictions.examples) == {"target", "weight", "length"}
    assert set(predictions.predicted) == {"doubles"}
    np.testing.assert_array_equal(predictions.examples["length"], LENGTHS)
    target, weight = predictions.examples["target"], predictions.examples["weight"]
    assert target.shape == predictions.predicted["doubles"].shape == (7, 9, 1)
    assert weight.shape == (7, 9)
    for index, length in enumerate(LENGTHS):
        own = numbers(index)
        np.testing.assert_allclose(target[index, :length, 0], 2 * own, rtol=1e-6)
        answer = predictions.predicted["doubles"][index, :length, 0]
        np.testing.assert_allclose(answer, 3 * own - 1, rtol=1e-6)
        assert not np.any(target[index, length:])
        assert weight[index].tolist() == [1] * length + [0] * (9 - length)


def test_each_split_is_predicted_by_its_name(model):
    data = samples.sequences(validation=(2, 2), test=(3,))
    for split, shape in (("validation", (2, 2)), ("test", (1, 3))):
        predictions = predict(TASK, model, data, split, 4)
        assert predictions.examples["weight"].shape == shape


def test_several_targets_keep_their_names(model):
    data = samples.sequences(test=LENGTHS)
    plain = predict(TASK, model, data, "test", 3)
    named = data.test.map(
        lambda x, y, weight: (x, {"double": y, "first": y[0, 0], "text": tf.constant("a")}, weight)
    )
    predictions = predict(TASK, model, replace(data, test=named), "test", 3)
    assert set(predictions.examples) == {"double", "first", "text", "weight", "length"}
    np.testing.assert_array_equal(predictions.examples["double"], plain.examples["target"])
    np.testing.assert_array_equal(predictions.examples["weight"], plain.examples["weight"])
    firsts = [2 * numbers(index)[0] for index in range(7)]
    np.testing.assert_allclose(predictions.examples["first"], firsts, rtol=1e-6)
    assert predictions.examples["text"].tolist() == [b"a"] * 7


def test_without_weights_there_is_no_column_of_them(model):
    data = samples.sequences(test=LENGTHS)
    light = replace(data, test=data.test.map(lambda x, y, weight: (x, y)))
    predictions = predict(TASK, model, light, "test", 3)
    assert set(predictions.examples) == {"target", "length"}


def test_what_scores_need_may_depend_on_the_target(model):
    class Assessed(samples.Doubles):
        def assessed(self, model, inputs, target):
            return {"gap": self.answers(model(self.preprocess(inputs)))["doubles"] - target}

    data = samples.sequences(test=LENGTHS)
    plain = predict(TASK, model, data, "test", 3)
    predictions = predict(Assessed(), model, data, "test", 3)
    assert predictions.predicted.keys() == {"gap"}
    gap = plain.predicted["doubles"] - plain.examples["target"]
    np.testing.assert_allclose(predictions.predicted["gap"], gap, atol=1e-6)


def test_images_and_labels_are_predicted_as_they_are():
    """What has one shape is not padded, and dropout is off."""
    task, data = ImageClassification(), samples.striped()
    network = task.model(samples.config(dropout=0.9), data)
    predictions = predict(task, network, data, "test", 7)
    ((images, labels),) = data.test.batch(100).as_numpy_iterator()
    np.testing.assert_array_equal(predictions.examples["target"], labels)
    logits = network.predict(images / np.float32(255), verbose=0)
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(predictions.predicted["probabilities"], chance, rtol=1e-4)


COLUMNS = st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 2)).flatmap(
    lambda shape: arrays.arrays(np.int32, shape, elements=st.integers(1, 99))
)


@given(st.lists(COLUMNS, min_size=1, max_size=4))
def test_joined_batches_hold_every_row_and_zeros_behind_it(batches):
    whole = joined(batches)
    assert whole.dtype == np.int32
    assert whole.shape[0] == sum(len(batch) for batch in batches)
    assert whole.shape[1:] == tuple(max(batch.shape[axis] for batch in batches) for axis in (1, 2))
    rows = [row for batch in batches for row in batch]
    for place, row in zip(whole, rows, strict=True):
        np.testing.assert_array_equal(place[: row.shape[0], : row.shape[1]], row)
    # No row holds a zero of its own.
    assert np.count_nonzero(whole) == sum(batch.size for batch in batches)


def test_joined_batches_of_single_values_follow_each_other():
    np.testing.assert_array_equal(joined([np.array([1, 2]), np.array([3])]), [1, 2, 3])
    names = joined([np.array([b"a", b"b"], object), np.array([b"c"], object)])
    assert names.tolist() == [b"a", b"b", b"c"]


def flips(right: np.ndarray) -> Predictions:
    return Predictions({"target": np.ones(len(right))}, {"answer": right.astype(float)})


def accuracy(predictions: Predictions) -> Scores:
    return {"accuracy": float(np.mean(predictions.predicted["answer"]))}


def test_taken_examples_keep_their_answers_and_may_repeat():
    predictions = Predictions(
        {"target": np.arange(4), "name": np.array(["a", "b", "c", "d"])},
        {"answer": np.arange(8).reshape(4, 2)},
    )
    taken = predictions.take(np.array([3, 0, 3]))
    assert len(taken) == 3
    assert taken.examples["target"].tolist() == [3, 0, 3]
    assert taken.examples["name"].tolist() == ["d", "a", "d"]
    assert taken.predicted["answer"].tolist() == [[6, 7], [0, 1], [6, 7]]
    assert len(predictions) == 4


def test_resampled_answers_stay_with_their_examples():
    places = np.arange(50)

    def scores(predictions: Predictions) -> Scores:
        assert len(predictions) == 50
        np.testing.assert_array_equal(
            predictions.examples["target"], predictions.predicted["answer"] // 2
        )
        return {"distinct": float(len(np.unique(predictions.examples["target"])))}

    low, high = intervals(scores, Predictions({"target": places}, {"answer": 2 * places}))[
        "distinct"
    ]
    # Of n examples, drawn with replacement, a share of 1 - 1/e is expected to come up.
    assert 20 < low < 50 * (1 - np.exp(-1)) < high < 45


OUTCOMES = arrays.arrays(bool, st.integers(1, 60))


@settings(max_examples=25)
@given(OUTCOMES, st.integers(0, 99))
def test_an_interval_holds_its_score_and_stays_in_range(right, seed):
    ((low, high),) = intervals(accuracy, flips(right), seed=seed).values()
    assert 0 <= low <= np.mean(right) <= high <= 1
    if right.all() or not right.any():
        assert low == high


def test_an_interval_is_as_wide_as_theory_says_and_shrinks_with_the_root_of_the_examples():
    outcomes = np.arange(100) % 4 > 0
    for copies in (1, 25):
        right = np.tile(outcomes, copies)
        ((low, high),) = intervals(accuracy, flips(right)).values()
        error = np.sqrt(0.75 * 0.25 / len(right))
        assert low == pytest.approx(0.75 - 1.96 * error, abs=0.5 * error)
        assert high == pytest.approx(0.75 + 1.96 * error, abs=0.5 * error)


def test_an_interval_repeats_for_the_same_seed():
    predictions = flips(np.random.default_rng(0).uniform(size=997) < 0.8)
    one, same, other = (intervals(accuracy, predictions, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_scores_that_some_draws_lack_get_their_interval_from_the_others():
    """With one positive in five examples, a third of all draws has none."""

    def scores(predictions: Predictions) -> Scores:
        positive = predictions.predicted["answer"]
        share = float(np.mean(positive))
        return {"share": share, "recall": 1.0 if share else np.nan, "never": np.nan}

    found = intervals(scores, flips(np.arange(5) == 0))
    assert set(found) == {"share", "recall"}
    assert found["share"][0] == 0 < found["share"][1]
    assert found["recall"] == (1.0, 1.0)


@pytest.mark.parametrize(("numbers", "draws"), [(10**9, 200), (50 * 30, 30), (1, 20)])
def test_large_splits_are_resampled_less_often(numbers, draws, monkeypatch):
    monkeypatch.setattr(evaluation, "_MOST_NUMBERS", numbers)
    asked = []

    def scores(predictions: Predictions) -> Scores:
        asked.append(len(predictions))
        return {"score": 1.0}

    answers = {"probabilities": np.zeros((10, 4)), "classes": np.zeros(10)}
    intervals(scores, Predictions({"target": np.zeros(10)}, answers))
    assert asked == [10] * draws


def test_blocks_are_drawn_whole():
    """Ten examples in each of five blocks, of which one alone is right."""
    block = np.repeat(np.arange(5), 10)
    right = (block == 2).astype(float)
    drawn: list[np.ndarray] = []

    def share(predictions: Predictions) -> Scores:
        drawn.append(predictions.examples["block"])
        return {"share": float(predictions.predicted["right"].mean())}

    predictions = Predictions({"target": np.ones(50), "block": block}, {"right": right})
    low, high = intervals(share, predictions)["share"]
    for blocks in drawn:
        assert np.all(blocks.reshape(5, 10) == blocks[::10, None])
    alone = Predictions({"target": np.ones(50)}, {"right": right})
    narrow = intervals(lambda p: {"share": float(p.predicted["right"].mean())}, alone)["share"]
    assert high - low > 1.5 * (narrow[1] - narrow[0])
