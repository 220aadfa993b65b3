"""Classification: scores as worked out by hand, and the entry that model servers classify with."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics

from pipelines.predictions import Predictions
from pipelines.tasks import classification
from pipelines.tasks.classification import calibration_error, scores

NAMES = ("low", "middle", "top")
CHANCE = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.15, 0.75, 0.1], [0.25, 0.15, 0.6]])
TRUTH = np.array([0, 1, 0, 2])


def predictions(truth, chance) -> Predictions:
    return Predictions({"target": np.array(truth)}, {"probabilities": np.array(chance, "float32")})


def test_scores_are_those_worked_out_by_hand():
    found = scores(predictions(TRUTH, CHANCE))
    assert found == pytest.approx(
        {
            "accuracy": 3 / 4,
            # Precision and recall are 1 and 1/2, 1/2 and 1, 1 and 1.
            "macro_f1": (2 / 3 + 2 / 3 + 1) / 3,
            # 0.7 and 0.15 against 0.1 and 0.25; 0.6 against 0.2, 0.75, 0.15; 0.6 against all.
            "auc": (3 / 4 + 2 / 3 + 1) / 3,
            "log_loss": -np.log([0.7, 0.6, 0.15, 0.6]).mean(),
            # One bin with two right answers, one with one right, one with one wrong.
            "calibration_error": (2 * (1 - 0.6) + (1 - 0.7) + 0.75) / 4,
        },
        rel=1e-5,
    )
    assert all(type(value) is float for value in found.values())


def test_classes_that_do_not_occur_leave_the_means_alone():
    """A class without an example has neither recall nor a curve."""
    found = scores(predictions([0, 1, 0, 1], CHANCE))
    # Of class 0: precision 1, recall 1/2; of class 1: precision 1/2, recall 1/2.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    # 0.7 and 0.15 against 0.1 and 0.25; 0.6 and 0.15 against 0.2 and 0.75.
    assert found["auc"] == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert found["log_loss"] == pytest.approx(-np.log([0.7, 0.6, 0.15, 0.15]).mean(), rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_single_class_has_no_ranking():
    found = scores(predictions([1, 1], CHANCE[:2]))
    assert np.isnan(found.pop("auc"))
    assert found["accuracy"] == 0.5
    assert np.isfinite(list(found.values())).all()


def test_certainty_that_is_wrong_costs_much_but_not_infinitely_much():
    found = scores(predictions([0, 1], [[1.0, 0.0], [1.0, 0.0]]))
    assert 10 < found["log_loss"] < 100
    assert found["calibration_error"] == 0.5


LABELS = st.lists(st.integers(0, 2), min_size=2, max_size=30)


@given(LABELS, st.integers(0, 99))
def test_scores_do_not_depend_on_the_order_of_examples(labels, seed):
    random = np.random.default_rng(seed)
    truth = np.array(labels)
    chance = random.dirichlet((1, 1, 1), len(truth))
    order = random.permutation(len(truth))
    one, two = (scores(predictions(truth[o], chance[o])) for o in (np.arange(len(truth)), order))
    assert one == pytest.approx(two, nan_ok=True)
    assert 0 <= one["macro_f1"] <= 1
    assert one["log_loss"] > 0


@given(LABELS, st.integers(0, 99), st.integers(1, 9))
def test_scores_are_those_of_scikit_learn(labels, seed, steps):
    """Also where examples are as probable as others, which few steps make likely."""
    truth = np.array(labels)
    chance = np.random.default_rng(seed).integers(0, steps + 1, (len(truth), 3)) + 0.5
    found = scores(predictions(truth, chance))
    chance = chance / chance.sum(-1, keepdims=True)
    predicted, present = chance.argmax(-1), np.unique(truth)
    areas = [metrics.roc_auc_score(truth == k, chance[:, k]) for k in present if len(present) > 1]
    del found["calibration_error"]
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "macro_f1": metrics.f1_score(truth, predicted, labels=present, average="macro"),
            "auc": np.mean(areas) if areas else np.nan,
            "log_loss": metrics.log_loss(truth, chance, labels=range(3)),
        },
        nan_ok=True,
    )


@given(LABELS)
def test_who_is_always_right_has_the_best_scores(labels):
    truth = np.array(labels)
    found = scores(predictions(truth, np.eye(3)[truth]))
    several = len(set(labels)) > 1
    best = {"accuracy": 1, "macro_f1": 1, "auc": 1 if several else np.nan}
    best |= {"log_loss": 0, "calibration_error": 0}
    assert found == pytest.approx(best, abs=1e-6, nan_ok=True)


# Confidence, whether right, and the error with two bins.
BINS = [
    ([0.9, 0.8, 0.7, 0.6], [1, 1, 1, 0], 2, 0.0),  # One bin: 3/4 right at 3/4 certainty.
    ([0.2, 0.4, 0.9, 0.9], [0, 0, 1, 1], 2, (0.6 + 0.2) / 4),
    ([0.2, 0.4, 0.9, 0.9], [1, 0, 0, 1], 2, (0.4 + 0.8) / 4),
    ([0.5, 0.49], [1, 0], 2, (0.5 + 0.49) / 2),  # Each in a bin of its own.
    ([1.0, 0.95], [1, 1], 10, 0.05 / 2),  # Certainty is in the last bin.
    ([0.0], [0], 15, 0.0),
    ([0.0], [1], 15, 1.0),
]


@pytest.mark.parametrize(("confidence", "right", "bins", "error"), BINS)
def test_the_calibration_error_is_the_one_worked_out_by_hand(confidence, right, bins, error):
    found = calibration_error(np.array(confidence), np.array(right, bool), bins)
    assert found == pytest.approx(error, abs=1e-12)


ANSWERED = st.integers(1, 50).flatmap(
    lambda size: st.tuples(
        arrays.arrays(np.float64, size, elements=st.floats(0, 1)), arrays.arrays(bool, size)
    )
)


@given(ANSWERED, st.integers(1, 20))
def test_the_calibration_error_is_between_the_overall_gap_and_one(answered, bins):
    confidence, right = answered
    error = calibration_error(confidence, right, bins)
    gap = abs(right.mean() - confidence.mean())
    assert gap - 1e-9 <= error <= 1 + 1e-9
    assert calibration_error(confidence, right, 1) == pytest.approx(gap, abs=1e-9)


def test_the_loss_and_the_metric_read_logits_and_integer_labels():
    logits = tf.constant(np.log(CHANCE), tf.float32)
    loss = float(classification.loss()(TRUTH, logits))
    assert loss == pytest.approx(-np.log([0.7, 0.6, 0.15, 0.6]).mean(), rel=1e-5)
    metric = classification.accuracy()
    metric.update_state(TRUTH, logits)
    assert (metric.name, float(metric.result())) == ("accuracy", 0.75)
    chance = classification.probabilities(logits)["probabilities"]
    np.testing.assert_allclose(chance, CHANCE, rtol=1e-5)


def test_answers_are_named_alike_with_and_without_a_graph():
    chance = CHANCE.astype("float32")
    graph = tf.function(lambda batch: classification.named(batch, NAMES))
    answers, expected = graph(tf.constant(chance)), classification.named_arrays(chance, NAMES)
    assert expected["classes"].tolist() == [b"low", b"middle", b"middle", b"top"]
    assert answers["classes"].numpy().tolist() == expected["classes"].tolist()
    np.testing.assert_array_equal(answers["probabilities"], expected["probabilities"])


def test_pictures_show_confusions_and_certainty():
    shown = dict(classification.pictures(predictions(TRUTH, CHANCE), NAMES))
    assert list(shown) == ["confusion_matrix", "reliability"]
    assert shown["confusion_matrix"].axes[0].get_title() == "75.0% of 4 test examples are right"
    line = {str(line.get_label()): line for line in shown["reliability"].axes[0].lines}["model"]
    assert line.get_xdata() == pytest.approx([0.6, 0.7, 0.75])
    assert line.get_ydata() == pytest.approx([1, 1, 0])


def by_length(strings: tf.Tensor) -> tf.Tensor:
    """Gives the class of a string's length all chance."""
    return tf.one_hot(tf.strings.length(strings), len(NAMES))


def test_the_entry_classify_answers_every_class_with_its_score():
    values = np.array([b"", b"xx", b"x", b"xx"], object)
    chance = keras.utils.to_categorical([0, 2, 1, 2], 3)
    signature = classification.classify(by_length, "text", values, chance, NAMES, absolute=0.5)
    assert signature.name == "classify"
    assert signature.inputs == {"inputs": tf.TensorSpec([None], tf.string)}
    assert (signature.absolute, signature.relative) == (0.5, 1e-5)
    answers = signature.function(tf.constant(signature.examples["inputs"]))
    assert answers.keys() == signature.expected.keys() == {"classes", "scores"}
    for key, expected in signature.expected.items():
        np.testing.assert_array_equal(answers[key], expected)
    assert answers["classes"].numpy().tolist() == [[b"low", b"middle", b"top"]] * 4
    np.testing.assert_array_equal(answers["scores"], chance)
    nothing = signature.function(tf.zeros([0], tf.string))
    assert nothing["classes"].shape == nothing["scores"].shape == (0, 3)


def test_the_entry_classify_refuses_a_message_without_its_feature():
    values, chance = np.array([b"x"], object), np.eye(3)[:1]
    signature = classification.classify(by_length, "text", values, chance, NAMES)
    other = classification.tf_example({"image": b"x"})
    with pytest.raises(tf.errors.InvalidArgumentError, match="text"):
        signature.function(tf.constant([other]))


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.binary(max_size=20), max_size=3))
def test_a_tf_example_holds_each_string_under_its_name(features):
    message = tf.train.Example.FromString(classification.tf_example(features))
    found = {
        name: list(feature.bytes_list.value) for name, feature in message.features.feature.items()
    }
    assert found == {name: [value] for name, value in features.items()}
