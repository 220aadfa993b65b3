"""Distillation: what the loss is, who learns from whom, and which teachers there are."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines.tasks.distillation.distiller import (
    Distiller,
    comparison,
    in_place_of,
    limited,
    soft_loss,
)
from scipy.special import rel_entr, softmax

import architectures
from architectures import heads
from pipelines.catalog import PIPELINES
from pipelines.errors import UserError
from pipelines.tasks.distillation import distiller

SMALL = {"layers": 2, "heads": 2, "width": 8, "feed_forward": 8, "vocabulary": 20}


def logits(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=3, size=shape).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(0.5, 8), st.sampled_from([(4, 3), (2, 5, 3)]))
def test_the_soft_loss_is_the_divergence_at_that_temperature(seed, temperature, shape):
    teacher, student = logits(seed, *shape), logits(seed + 100, *shape)
    divergence = rel_entr(softmax(teacher / temperature, -1), softmax(student / temperature, -1))
    expected = temperature**2 * divergence.sum(-1).mean()
    assert float(soft_loss(teacher, student, None, temperature)) == pytest.approx(
        expected, rel=1e-3, abs=1e-5
    )


def test_who_thinks_as_the_teacher_loses_nothing():
    same = logits(0, 4, 3)
    # A distribution does not change with what is added to all logits.
    assert float(soft_loss(same, same + 2, None, 2.0)) == pytest.approx(0, abs=1e-5)


def test_what_weighs_nothing_teaches_nothing():
    teacher, student = logits(0, 2, 4, 3), logits(1, 2, 4, 3)
    weight = np.array([[1, 1, 0, 0], [2, 0, 0, 0]], np.float32)
    other = np.where(weight[..., None] > 0, teacher, logits(5, 2, 4, 3))
    one, two = (float(soft_loss(x, student, weight, 2.0)) for x in (teacher, other))
    assert one == pytest.approx(two)
    by_hand = [
        float(soft_loss(teacher[i, j], student[i, j], None, 2.0))
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 0))
    ]
    assert one == pytest.approx(sum(by_hand) / 4, rel=1e-5)
    assert float(soft_loss(teacher, student, np.zeros((2, 4)), 2.0)) == 0


def test_several_outputs_add_up_each_under_its_own_weight():
    teacher = {"a": logits(0, 2, 3), "b": logits(1, 2, 4), "c": logits(2, 2, 4)}
    student = {"a": logits(3, 2, 3), "b": logits(4, 2, 4)}
    weight = {"a": np.array([1, 0], np.float32)}
    expected = float(soft_loss(teacher["a"], student["a"], weight["a"], 3.0)) + float(
        soft_loss(teacher["b"], student["b"], None, 3.0)
    )
    assert float(soft_loss(teacher, student, weight, 3.0)) == pytest.approx(expected, rel=1e-5)


def linear(seed: int, units: int = 3) -> keras.Model:
    keras.utils.set_random_seed(seed)
    x = keras.Input((5,), name="x")
    return keras.Model(x, keras.layers.Dense(units)(x))


def taught(alpha: float, truth: np.ndarray, epochs: int = 150) -> tuple[keras.Model, Distiller]:
    """Returns a student of `linear(1)` that learned from it and from `truth`, and its learner."""
    student = linear(2)
    learner = Distiller(linear(1), student, temperature=2.0, alpha=alpha)
    learner.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    learner.fit(logits(7, 64, 5), truth, batch_size=64, epochs=epochs, verbose=0)
    return student, learner


def test_a_student_of_its_teacher_alone_comes_to_think_as_the_teacher_does():
    """Whatever the truth is said to be."""
    x, wrong = logits(7, 64, 5), np.zeros(64, int)
    student, learner = taught(1.0, wrong)
    own, others = (softmax(model.predict(x, verbose=0), -1) for model in (student, learner.teacher))
    np.testing.assert_allclose(own, others, atol=0.05)


def test_the_teacher_stays_as_it_is():
    _, learner = taught(0.5, np.zeros(64, int), epochs=2)
    for one, other in zip(learner.teacher.get_weights(), linear(1).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(learner.trainable_variables) == 2


def test_without_a_share_for_the_teacher_the_student_learns_as_if_alone():
    truth = np.arange(64) % 3
    student, _ = taught(0.0, truth, epochs=3)
    alone = linear(2)
    alone.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    alone.fit(logits(7, 64, 5), truth, batch_size=64, epochs=3, verbose=0)
    for one, other in zip(student.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def pretraining(architecture: str, **options: Any) -> keras.Model:
    return heads.masked_lm(architectures.build(architecture, **SMALL), **options)


def test_places_without_a_hidden_word_teach_nothing():
    """Whatever the teacher thinks there."""
    teacher, student = (
        keras.Model(model.input, {"masked_lm": model.output})
        for model in (pretraining("bert_tiny"), pretraining("distilbert_base"))
    )
    learner = Distiller(teacher, student, temperature=2.0, alpha=1.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(loss={"masked_lm": loss})
    inputs = {name: np.ones((2, 5), np.int32) for name in teacher.input}
    inputs["mask_positions"] = np.array([[1, 3, 0], [2, 0, 0]], np.int32)
    thought, given = (model({k: inputs[k] for k in model.input}) for model in (teacher, student))
    real = inputs["mask_positions"] > 0
    expected = soft_loss(thought["masked_lm"], given["masked_lm"], real, 2.0)
    lost = learner.compute_loss(inputs, {"masked_lm": np.zeros((2, 3))}, given)
    assert float(lost) == pytest.approx(float(expected), rel=1e-5)


def test_of_a_teacher_with_more_outputs_the_student_hears_its_own():
    teacher = pretraining("bert_tiny", sentence_task="next_sentence")
    student = pretraining("distilbert_base")
    heard = limited(teacher, student)
    assert heard.output.shape == student.output.shape
    inputs = {name: np.ones((2, 4), np.int32) for name in teacher.input}
    np.testing.assert_array_equal(
        heard(inputs, training=False), teacher(inputs, training=False)["masked_lm"]
    )
    both = pretraining("bert_tiny", sentence_task="next_sentence")
    assert set(limited(teacher, both).output) == {"masked_lm", "next_sentence"}


def test_a_student_takes_the_place_of_its_teacher():
    """Whoever asked the teacher can ask it in the same way."""
    teacher = pretraining("bert_tiny", sentence_task="next_sentence")
    student = pretraining("distilbert_base")
    placed = in_place_of(teacher, student)
    assert {name: (x.shape, x.dtype) for name, x in placed.input.items()} == {
        name: (x.shape, x.dtype) for name, x in teacher.input.items()
    }
    inputs = {name: np.ones((2, 4), np.int32) for name in teacher.input}
    read = {name: x for name, x in inputs.items() if name in student.input}
    expected = student(read, training=False)
    np.testing.assert_array_equal(placed(inputs, training=False), expected)
    again = keras.Model.from_config(placed.get_config())
    again.set_weights(placed.get_weights())
    np.testing.assert_allclose(again(inputs, training=False), expected, atol=1e-6)


def test_a_student_that_does_not_fit_its_teacher_is_refused():
    with pytest.raises(
        UserError, match=r"the student answers \(None, 4\), its teacher \(None, 3\)"
    ):
        in_place_of(linear(1), linear(2, units=4))
    bert = heads.classifier(architectures.build("bert_tiny", **SMALL), classes=2)
    distilbert = heads.classifier(architectures.build("distilbert_base", **SMALL), classes=2)
    with pytest.raises(
        UserError, match="the student reads segment_ids, which its teacher does not"
    ):
        in_place_of(distilbert, bert)


@pytest.mark.parametrize("teacher", ["", "digits", "runs:/nowhere", "models:/nothing@champion"])
def test_who_is_no_teacher_is_told_in_one_sentence(teacher, store):
    with pytest.raises(
        UserError, match=f"--teacher must be a run .* or one of .*, not '{teacher}'"
    ):
        distiller.find(teacher)


def test_a_task_without_logits_teaches_nobody(store):
    with pytest.raises(
        UserError, match=r"--teacher must be of image_classification, .* not of forecast"
    ):
        distiller.find("forecasting")
    assert set(distiller.TEACHERS) <= set(PIPELINES)


def test_bars_say_score_and_size():
    figure = comparison("perplexity", {"teacher": (90.0, 1_000_000), "student": (120.0, 20)})
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["teacher\n1,000,000 parameters", "student\n20 parameters"]
    drawn: Any = axes.patches
    assert [bar.get_width() for bar in drawn] == [90, 120]
    assert axes.get_xlim()[1] > 120
