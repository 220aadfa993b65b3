"""Evaluation: every example once, in its order, and intervals that mean what they say."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines import evaluation
from pipelines.baselines import scored
from pipelines.datasets import stored
from pipelines.datasets.stored import is_mapped
from pipelines.evaluation import evaluate, intervals, predict
from pipelines.intervals import difference
from pipelines.predictions import Predictions, Scores, joined, joined_columns
from pipelines.recipe import Recipe
from pipelines.tasks.image_classification.task import ImageClassification
from tests.pipelines import samples

LENGTHS = (2, 5, 1, 9, 3, 3, 4)


def doubles(batch_size: int) -> samples.Doubles:
    return samples.Doubles(samples.sequence_config(Recipe(batch_size=batch_size)))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A network whose outputs can be computed by hand: three times the number, less one."""
    network = doubles(3).network(samples.sequences()).model
    network.set_weights([np.array([[3.0]]), np.array([-1.0])])
    return network


def numbers(index: int) -> np.ndarray:
    """Returns what the example at `index` holds, in thousands."""
    return index + 1 + np.arange(LENGTHS[index]) / 1000


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_predictions_are_in_the_order_of_the_split_and_padded_with_zeros(model, batch_size):
    data = samples.sequences(test=LENGTHS)
    predictions = predict(doubles(batch_size), model, data, "test")
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
        predicted = predictions.predicted["doubles"][index, :length, 0]
        np.testing.assert_allclose(predicted, 3 * own - 1, rtol=1e-6)
        assert not np.any(target[index, length:])
        assert weight[index].tolist() == [1] * length + [0] * (9 - length)


def test_each_split_is_predicted_by_its_name(model):
    data = samples.sequences(validation=(2, 2), test=(3,))
    for split, shape in (("validation", (2, 2)), ("test", (1, 3))):
        predictions = predict(doubles(4), model, data, split)
        assert predictions.examples["weight"].shape == shape


def test_several_targets_keep_their_names(model):
    data = samples.sequences(test=LENGTHS)
    plain = predict(doubles(3), model, data, "test")
    named = data.test.map(
        lambda x, y, weight: (x, {"double": y, "first": y[0, 0], "text": tf.constant("a")}, weight)
    )
    predictions = predict(doubles(3), model, replace(data, test=named), "test")
    assert set(predictions.examples) == {"double", "first", "text", "weight", "length"}
    np.testing.assert_array_equal(predictions.examples["double"], plain.examples["target"])
    np.testing.assert_array_equal(predictions.examples["weight"], plain.examples["weight"])
    firsts = [2 * numbers(index)[0] for index in range(7)]
    np.testing.assert_allclose(predictions.examples["first"], firsts, rtol=1e-6)
    assert predictions.examples["text"].tolist() == [b"a"] * 7


def test_without_weights_there_is_no_weight_column(model):
    data = samples.sequences(test=LENGTHS)
    unweighted = replace(data, test=data.test.map(lambda x, y, weight: (x, y)))
    predictions = predict(doubles(3), model, unweighted, "test")
    assert set(predictions.examples) == {"target", "length"}


class Gaps(samples.Doubles):
    """A task that scores what it computes from outputs and targets."""

    def predict_batch(self, model, inputs, target, data):
        outputs = self.postprocess(model(self.preprocess(inputs)), data)
        return {"gap": outputs["doubles"] - target}


def test_predictions_to_score_may_depend_on_the_target(model):
    data = samples.sequences(test=LENGTHS)
    plain = predict(doubles(3), model, data, "test")
    predictions = predict(Gaps(doubles(3).config), model, data, "test")
    assert predictions.predicted.keys() == {"gap"}
    gap = plain.predicted["doubles"] - plain.examples["target"]
    np.testing.assert_allclose(predictions.predicted["gap"], gap, atol=1e-6)


CLASSIFICATION = ImageClassification(samples.config(Recipe(batch_size=7, seed=3), dropout=0.9))


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    keras.utils.set_random_seed(1)
    return CLASSIFICATION.network(samples.striped()).model


def by_hand(classifier: keras.Model, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the labels of a split, int [examples], and their probabilities."""
    ((images, labels),) = samples.striped().split(split).batch(100).as_numpy_iterator()
    logits = classifier.predict(images / np.float32(255), verbose=0)
    return labels, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def test_images_are_predicted_without_padding_and_without_dropout(classifier):
    predictions = predict(CLASSIFICATION, classifier, samples.striped(), "test")
    labels, probabilities = by_hand(classifier, "test")
    np.testing.assert_array_equal(predictions.examples["target"], labels)
    np.testing.assert_allclose(predictions.predicted["probabilities"], probabilities, rtol=1e-4)


def test_the_evaluation_is_the_mean_over_every_example(classifier):
    data = samples.striped()
    found = evaluate(CLASSIFICATION, classifier, data)
    scores, ranges, test = found.scores, found.intervals, found.test
    for split in ("validation", "test"):
        labels, probabilities = by_hand(classifier, split)
        right = probabilities.argmax(-1) == labels
        assert scores[f"{split}/accuracy"] == pytest.approx(np.mean(right))
        loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
        assert scores[f"{split}/log_loss"] == pytest.approx(loss, rel=1e-4)
    # The predictions and intervals that are returned are those of the test split.
    np.testing.assert_array_equal(test.examples["target"], labels)
    np.testing.assert_allclose(test.predicted["probabilities"], probabilities, rtol=1e-4)
    assert {f"test/{name}" for name in ranges} == {
        name for name in scores if name.startswith("test/")
    }
    low, high = ranges["log_loss"]
    assert low < scores["test/log_loss"] < high
    expected = intervals(lambda sample: CLASSIFICATION.scores(sample, data), test)
    assert ranges == expected


COLUMNS = st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 2)).flatmap(
    lambda shape: arrays.arrays(np.int32, shape, elements=st.integers(1, 99))
)


@given(st.lists(COLUMNS, min_size=1, max_size=4))
def test_joined_batches_hold_every_row_padded_with_zeros(batches):
    whole = joined_columns(batches)
    assert whole.dtype == np.int32
    assert whole.shape[0] == sum(len(batch) for batch in batches)
    assert whole.shape[1:] == tuple(max(batch.shape[axis] for batch in batches) for axis in (1, 2))
    rows = [row for batch in batches for row in batch]
    for place, row in zip(whole, rows, strict=True):
        np.testing.assert_array_equal(place[: row.shape[0], : row.shape[1]], row)
    # No row holds a zero of its own.
    assert np.count_nonzero(whole) == sum(batch.size for batch in batches)


@given(st.lists(COLUMNS, min_size=1, max_size=4))
def test_batches_are_joined_in_a_file_as_in_memory(batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "LIMIT", 0)
        found = joined(
            Predictions({"size": batch.sum((1, 2))}, {"ids": batch}) for batch in batches
        )
    np.testing.assert_array_equal(found.predicted["ids"], joined_columns(batches))
    sizes = found.examples["size"]
    np.testing.assert_array_equal(sizes, np.concatenate([x.sum((1, 2)) for x in batches]))
    assert is_mapped(sizes) == (len(sizes) > 0)


def test_batches_of_single_values_are_concatenated():
    np.testing.assert_array_equal(joined_columns([np.array([1, 2]), np.array([3])]), [1, 2, 3])
    names = joined_columns([np.array([b"a", b"b"], object), np.array([b"c"], object)])
    assert names.tolist() == [b"a", b"b", b"c"]


def outcomes(right: np.ndarray) -> Predictions:
    return Predictions({"target": np.ones(len(right))}, {"correct": right.astype(float)})


def accuracy(predictions: Predictions) -> Scores:
    return {"accuracy": float(np.mean(predictions.predicted["correct"]))}


def test_resampled_predictions_stay_with_their_examples():
    places = np.arange(50)

    def scores(predictions: Predictions) -> Scores:
        assert len(predictions) == 50
        np.testing.assert_array_equal(
            predictions.examples["target"], predictions.predicted["correct"] // 2
        )
        return {"distinct": float(len(np.unique(predictions.examples["target"])))}

    low, high = intervals(scores, Predictions({"target": places}, {"correct": 2 * places}))[
        "distinct"
    ]
    # A sample of n, drawn with replacement from n, holds a fraction of 1 - 1/e on average.
    assert 20 < low < 50 * (1 - np.exp(-1)) < high < 45


OUTCOMES = arrays.arrays(bool, st.integers(1, 60))


@settings(max_examples=25)
@given(OUTCOMES, st.integers(0, 99))
def test_an_interval_holds_its_score_and_stays_in_range(right, seed):
    ((low, high),) = intervals(accuracy, outcomes(right), seed=seed).values()
    assert 0 <= low <= np.mean(right) <= high <= 1
    if right.all() or not right.any():
        assert low == high


def test_an_interval_is_as_wide_as_theory_says_and_shrinks_with_the_root_of_their_number():
    right = np.arange(100) % 4 > 0
    for copies in (1, 25):
        tiled = np.tile(right, copies)
        ((low, high),) = intervals(accuracy, outcomes(tiled)).values()
        error = np.sqrt(0.75 * 0.25 / len(tiled))
        assert low == pytest.approx(0.75 - 1.96 * error, abs=0.5 * error)
        assert high == pytest.approx(0.75 + 1.96 * error, abs=0.5 * error)


def test_an_interval_repeats_for_the_same_seed():
    predictions = outcomes(np.random.default_rng(0).uniform(size=997) < 0.8)
    one, same, other = (intervals(accuracy, predictions, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_intervals_leave_out_samples_without_the_score():
    """With one positive in five examples, a third of all samples has none."""

    def scores(predictions: Predictions) -> Scores:
        rate = float(np.mean(predictions.predicted["correct"]))
        return {"rate": rate, "recall": 1.0 if rate else np.nan, "never": np.nan}

    found = intervals(scores, outcomes(np.arange(5) == 0))
    assert set(found) == {"rate", "recall"}
    assert found["rate"][0] == 0 < found["rate"][1]
    assert found["recall"] == (1.0, 1.0)


@pytest.mark.parametrize(("numbers", "count"), [(10**9, 200), (50 * 30, 30), (1, 20)])
def test_large_splits_are_resampled_less_often(numbers, count, monkeypatch):
    monkeypatch.setattr(evaluation, "_MAX_NUMBERS", numbers)
    sizes = []

    def scores(predictions: Predictions) -> Scores:
        sizes.append(len(predictions))
        return {"score": 1.0}

    predicted = {"probabilities": np.zeros((10, 4)), "classes": np.zeros(10)}
    intervals(scores, Predictions({"target": np.zeros(10)}, predicted))
    assert sizes == [10] * count


def test_whole_blocks_are_resampled():
    """Ten examples in each of five blocks; only one block is right."""
    block = np.repeat(np.arange(5), 10)
    right = (block == 2).astype(float)
    resampled: list[np.ndarray] = []

    def rate(predictions: Predictions) -> Scores:
        resampled.append(predictions.examples["block"])
        return accuracy(predictions)

    predictions = Predictions({"target": np.ones(50), "block": block}, {"correct": right})
    low, high = intervals(rate, predictions)["accuracy"]
    for blocks in resampled:
        assert np.all(blocks.reshape(5, 10) == blocks[::10, None])
    narrow = intervals(accuracy, outcomes(right))["accuracy"]
    assert high - low > 1.5 * (narrow[1] - narrow[0])


def test_two_models_are_scored_on_the_same_resamples_whatever_their_seeds(classifier):
    """The same network differs from itself in nothing, so the interval of the difference is 0."""
    one, other = (
        evaluate(
            ImageClassification(samples.config(Recipe(batch_size=7, seed=seed))),
            classifier,
            samples.striped(),
        )
        for seed in (3, 4)
    )
    assert len(one.resampled) == evaluation._RESAMPLES
    assert len(set(one.resampled)) > 1
    assert difference(one.resampled, other.resampled) == (0.0, 0.0)


def test_the_interval_of_a_difference_is_that_of_paired_scores():
    scores = np.random.default_rng(0).normal(0.9, 0.05, 200)
    low, high = difference(scores + 0.01, scores[:150])  # type: ignore[misc, arg-type]
    assert (low, high) == pytest.approx((0.01, 0.01)), "what resamples have in common cancels out"
    noise = np.linspace(-1, 1, 201)
    assert difference(noise, np.zeros(201)) == pytest.approx((-0.95, 0.95))  # type: ignore[arg-type]
    assert difference([], [0.5]) is None
    assert difference([np.nan], [0.5]) is None


def test_a_margin_is_the_difference_to_the_baseline_on_the_same_resamples(classifier):
    task, data = ImageClassification(samples.config()), samples.striped()
    evaluated = evaluate(task, classifier, data)

    def margin(predictions: Predictions) -> tuple[float, float]:
        baseline = scored("another", partial(task.scores, data=data), lambda split: predictions)
        return evaluation.margins(evaluated, baseline)["accuracy"]

    assert margin(evaluated.test) == (0.0, 0.0)
    answers = evaluated.test.examples["target"]
    right = np.eye(evaluated.test.predicted["probabilities"].shape[1], dtype=np.float32)[answers]
    low, high = margin(Predictions(evaluated.test.examples, {"probabilities": right}))
    accuracy = evaluated.intervals["accuracy"]
    assert (low, high) == pytest.approx((accuracy[0] - 1, accuracy[1] - 1))
