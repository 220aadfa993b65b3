"""Classification: scores computed by hand and by scikit-learn, and the `classify` signature."""

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
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.15, 0.75, 0.1], [0.25, 0.15, 0.6]])
TRUTH = np.array([0, 1, 0, 2])


def predictions(truth, probabilities) -> Predictions:
    return Predictions(
        {"target": np.array(truth)}, {"probabilities": np.array(probabilities, "float32")}
    )


def test_scores_match_those_computed_by_hand():
    found = scores(predictions(TRUTH, PROBABILITIES))
    assert found == pytest.approx(
        {
            "accuracy": 3 / 4,
            # Precision and recall are 1 and 1/2, 1/2 and 1, 1 and 1.
            "macro_f1": (2 / 3 + 2 / 3 + 1) / 3,
            # 0.7 and 0.15 against 0.1 and 0.25; 0.6 against 0.2, 0.75, 0.15; 0.6 against all.
            "auc": (3 / 4 + 2 / 3 + 1) / 3,
            "log_loss": -np.log([0.7, 0.6, 0.15, 0.6]).mean(),
            # One bin with two correct predictions, one with one correct, one with one wrong.
            "calibration_error": (2 * (1 - 0.6) + (1 - 0.7) + 0.75) / 4,
        },
        rel=1e-5,
    )
    assert all(type(value) is float for value in found.values())


def test_scores_are_the_same_if_examples_are_read_one_by_one(monkeypatch):
    whole = scores(predictions(TRUTH, PROBABILITIES))
    monkeypatch.setattr(classification, "_CHUNK", 1)
    assert scores(predictions(TRUTH, PROBABILITIES)) == whole


def test_classes_without_examples_do_not_count_in_means():
    """A class without an example has neither recall nor a curve."""
    found = scores(predictions([0, 1, 0, 1], PROBABILITIES))
    # Of class 0: precision 1, recall 1/2; of class 1: precision 1/2, recall 1/2.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    # 0.7 and 0.15 against 0.1 and 0.25; 0.6 and 0.15 against 0.2 and 0.75.
    assert found["auc"] == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert found["log_loss"] == pytest.approx(-np.log([0.7, 0.6, 0.15, 0.15]).mean(), rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_single_class_has_no_ranking():
    found = scores(predictions([1, 1], PROBABILITIES[:2]))
    assert np.isnan(found.pop("auc"))
    assert found["accuracy"] == 0.5
    assert np.isfinite(list(found.values())).all()


def test_the_log_loss_of_a_confident_mistake_is_finite():
    found = scores(predictions([0, 1], [[1.0, 0.0], [1.0, 0.0]]))
    assert 10 < found["log_loss"] < 100
    assert found["calibration_error"] == 0.5


LABELS = st.lists(st.integers(0, 2), min_size=2, max_size=30)


@given(LABELS, st.integers(0, 99))
def test_scores_do_not_depend_on_the_order_of_examples(labels, seed):
    random = np.random.default_rng(seed)
    truth = np.array(labels)
    probabilities = random.dirichlet((1, 1, 1), len(truth))
    order = random.permutation(len(truth))
    one, two = (
        scores(predictions(truth[o], probabilities[o])) for o in (np.arange(len(truth)), order)
    )
    assert one == pytest.approx(two, nan_ok=True)
    assert 0 <= one["macro_f1"] <= 1
    assert one["log_loss"] > 0


@given(LABELS, st.integers(0, 99), st.integers(1, 9))
def test_scores_match_scikit_learn(labels, seed, steps):
    """Also with ties, which few steps make frequent."""
    truth = np.array(labels)
    probabilities = np.random.default_rng(seed).integers(0, steps + 1, (len(truth), 3)) + 0.5
    found = scores(predictions(truth, probabilities))
    probabilities = probabilities / probabilities.sum(-1, keepdims=True)
    predicted, present = probabilities.argmax(-1), np.unique(truth)
    areas = [
        metrics.roc_auc_score(truth == k, probabilities[:, k]) for k in present if len(present) > 1
    ]
    del found["calibration_error"]
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "macro_f1": metrics.f1_score(truth, predicted, labels=present, average="macro"),
            "auc": np.mean(areas) if areas else np.nan,
            "log_loss": metrics.log_loss(truth, probabilities, labels=range(3)),
        },
        nan_ok=True,
    )


@given(LABELS)
def test_perfect_predictions_have_the_best_scores(labels):
    truth = np.array(labels)
    found = scores(predictions(truth, np.eye(3)[truth]))
    several = len(set(labels)) > 1
    best = {"accuracy": 1, "macro_f1": 1, "auc": 1 if several else np.nan}
    best |= {"log_loss": 0, "calibration_error": 0}
    assert found == pytest.approx(best, abs=1e-6, nan_ok=True)


# Confidence, whether the prediction is right, bins, and the error.
BINS = [
    ([0.9, 0.8, 0.7, 0.6], [1, 1, 1, 0], 2, 0.0),  # One bin: accuracy 3/4 at confidence 3/4.
    ([0.2, 0.4, 0.9, 0.9], [0, 0, 1, 1], 2, (0.6 + 0.2) / 4),
    ([0.2, 0.4, 0.9, 0.9], [1, 0, 0, 1], 2, (0.4 + 0.8) / 4),
    ([0.5, 0.49], [1, 0], 2, (0.5 + 0.49) / 2),  # Each in a bin of its own.
    ([1.0, 0.95], [1, 1], 10, 0.05 / 2),  # Confidence 1 is in the last bin.
    ([0.0], [0], 15, 0.0),
    ([0.0], [1], 15, 1.0),
]


@pytest.mark.parametrize(("confidence", "right", "bins", "error"), BINS)
def test_the_calibration_error_matches_the_one_computed_by_hand(confidence, right, bins, error):
    found = calibration_error(np.array(confidence), np.array(right, bool), bins)
    assert found == pytest.approx(error, abs=1e-12)


CONFIDENCES = st.integers(1, 50).flatmap(
    lambda size: st.tuples(
        arrays.arrays(np.float64, size, elements=st.floats(0, 1)), arrays.arrays(bool, size)
    )
)


@given(CONFIDENCES, st.integers(1, 20))
def test_the_calibration_error_is_between_the_overall_gap_and_one(sample, bins):
    confidence, right = sample
    error = calibration_error(confidence, right, bins)
    gap = abs(right.mean() - confidence.mean())
    assert gap - 1e-9 <= error <= 1 + 1e-9
    assert calibration_error(confidence, right, 1) == pytest.approx(gap, abs=1e-9)


def test_the_loss_and_the_metric_read_logits_and_integer_labels():
    logits = tf.constant(np.log(PROBABILITIES), tf.float32)
    loss = float(classification.loss()(TRUTH, logits))
    assert loss == pytest.approx(-np.log([0.7, 0.6, 0.15, 0.6]).mean(), rel=1e-5)
    metric = classification.accuracy()
    metric.update_state(TRUTH, logits)
    assert (metric.name, float(metric.result())) == ("accuracy", 0.75)
    probabilities = classification.probabilities(logits)["probabilities"]
    np.testing.assert_allclose(probabilities, PROBABILITIES, rtol=1e-5)


def test_class_names_are_the_same_from_tensorflow_and_numpy():
    probabilities = PROBABILITIES.astype("float32")
    graph = tf.function(lambda batch: classification.named(batch, NAMES))
    outputs, expected = (
        graph(tf.constant(probabilities)),
        classification.named_arrays(probabilities, NAMES),
    )
    assert expected["classes"].tolist() == [b"low", b"middle", b"middle", b"top"]
    assert outputs["classes"].numpy().tolist() == expected["classes"].tolist()
    np.testing.assert_array_equal(outputs["probabilities"], expected["probabilities"])


def test_figures_show_confusions_and_calibration():
    shown = dict(classification.figures(predictions(TRUTH, PROBABILITIES), NAMES, counted="texts"))
    assert list(shown) == ["confusion_matrix", "reliability"]
    assert shown["confusion_matrix"].get_suptitle() == "Accuracy 75.0% on 4 test texts"
    error = classification.scores(predictions(TRUTH, PROBABILITIES))["calibration_error"]
    title = shown["reliability"].get_suptitle()
    assert title == f"Calibration error {error:.3f} on 4 test texts"


def by_length(strings: tf.Tensor) -> tf.Tensor:
    """Predicts the class of a string's length with probability 1."""
    return tf.one_hot(tf.strings.length(strings), len(NAMES))


def test_classify_returns_every_class_with_its_score():
    values = np.array([b"", b"xx", b"x", b"xx"], object)
    probabilities = keras.utils.to_categorical([0, 2, 1, 2], 3)
    signature = classification.classify(
        by_length, "text", values, probabilities, NAMES, absolute=0.5
    )
    assert signature.name == "classify"
    assert signature.inputs == {"inputs": tf.TensorSpec([None], tf.string)}
    assert (signature.absolute, signature.relative) == (0.5, 1e-5)
    outputs = signature.function(tf.constant(signature.examples["inputs"]))
    assert outputs.keys() == signature.expected.keys() == {"classes", "scores"}
    for key, expected in signature.expected.items():
        np.testing.assert_array_equal(outputs[key], expected)
    assert outputs["classes"].numpy().tolist() == [[b"low", b"middle", b"top"]] * 4
    np.testing.assert_array_equal(outputs["scores"], probabilities)
    nothing = signature.function(tf.zeros([0], tf.string))
    assert nothing["classes"].shape == nothing["scores"].shape == (0, 3)


def test_classify_rejects_an_example_without_its_feature():
    values, probabilities = np.array([b"x"], object), np.eye(3)[:1]
    signature = classification.classify(by_length, "text", values, probabilities, NAMES)
    other = classification.tf_example({"image": b"x"})
    with pytest.raises(tf.errors.InvalidArgumentError, match="text"):
        signature.function(tf.constant([other]))


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.binary(max_size=20), max_size=3))
def test_a_tf_example_has_a_feature_for_each_string(features):
    message = tf.train.Example.FromString(classification.tf_example(features))
    found = {
        name: list(feature.bytes_list.value) for name, feature in message.features.feature.items()
    }
    assert found == {name: [value] for name, value in features.items()}
