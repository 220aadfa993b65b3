"""The loss of distillation, which outputs a student learns from, and the bars that compare."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax

import architectures
from architectures import heads
from architectures.bert import transformer_layers
from pipelines.config import Config
from pipelines.distiller import (
    Distiller,
    adapt,
    comparison,
    in_place_of,
    limited,
    soft_loss,
    training_model,
)
from pipelines.errors import UserError
from pipelines.task import Network, Teacher

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


def test_equal_distributions_have_no_loss():
    same = logits(0, 4, 3)
    # A distribution does not change with what is added to all logits.
    assert float(soft_loss(same, same + 2, None, 2.0)) == pytest.approx(0, abs=1e-5)


def test_positions_of_no_weight_do_not_count():
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


def test_the_losses_of_several_outputs_add_up_each_with_its_weight():
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


def taught(alpha: float, truth: np.ndarray, steps: int = 150) -> tuple[keras.Model, Distiller]:
    """Returns a student of `linear(1)` that learned from it and from `truth`, and its distiller."""
    student = linear(2)
    distiller = Distiller(linear(1), student, temperature=2.0, alpha=alpha)
    distiller.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x, y = np.tile(logits(7, 64, 5), (steps, 1)), np.tile(truth, steps)
    distiller.fit(x, y, batch_size=64, shuffle=False, verbose=0)
    return student, distiller


def test_a_student_of_its_teacher_alone_learns_its_probabilities():
    """Whatever the targets are."""
    x, wrong = logits(7, 64, 5), np.zeros(64, int)
    student, distiller = taught(1.0, wrong)
    networks = (student, distiller.teacher)
    own, others = (softmax(network.predict(x, verbose=0), -1) for network in networks)
    np.testing.assert_allclose(own, others, atol=0.05)


def test_the_teacher_does_not_change():
    _, distiller = taught(0.5, np.zeros(64, int), steps=2)
    for one, other in zip(distiller.teacher.get_weights(), linear(1).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(distiller.trainable_variables) == 2


def test_with_alpha_0_the_student_learns_as_without_a_teacher():
    truth = np.arange(64) % 3
    student, _ = taught(0.0, truth, steps=3)
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


def test_padding_of_masked_positions_does_not_count():
    """Whatever the teacher's outputs there are."""
    teacher, student = (
        keras.Model(model.input, {"masked_lm": model.output})
        for model in (pretraining("bert_tiny"), pretraining("distilbert_base"))
    )
    distiller = Distiller(teacher, student, temperature=2.0, alpha=1.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(loss={"masked_lm": loss})
    inputs = {name: np.ones((2, 5), np.int32) for name in teacher.input}
    inputs["mask_positions"] = np.array([[1, 3, 0], [2, 0, 0]], np.int32)
    expected_logits, found = (
        model({k: inputs[k] for k in model.input}) for model in (teacher, student)
    )
    real = inputs["mask_positions"] > 0
    expected = soft_loss(expected_logits["masked_lm"], found["masked_lm"], real, 2.0)
    lost = distiller.compute_loss(inputs, {"masked_lm": np.zeros((2, 3))}, found)
    assert float(lost) == pytest.approx(float(expected), rel=1e-5)


def test_a_student_learns_from_those_of_its_teachers_outputs_that_it_has():
    teacher = pretraining("bert_tiny", sentence_task="next_sentence")
    student = pretraining("distilbert_base")
    used = limited(teacher, student)
    assert used.output.shape == student.output.shape
    inputs = {name: np.ones((2, 4), np.int32) for name in teacher.input}
    np.testing.assert_array_equal(
        used(inputs, training=False), teacher(inputs, training=False)["masked_lm"]
    )
    both = pretraining("bert_tiny", sentence_task="next_sentence")
    assert set(limited(teacher, both).output) == {"masked_lm", "next_sentence"}


def test_a_student_takes_the_inputs_of_its_teacher():
    """Those that it does not use are ignored."""
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


def test_a_student_that_does_not_fit_its_teacher_is_an_error():
    with pytest.raises(
        UserError, match=r"the student's outputs are \(None, 4\), its teacher's \(None, 3\)"
    ):
        in_place_of(linear(1), linear(2, units=4))
    bert = heads.classifier(architectures.build("bert_tiny", **SMALL), classes=2)
    distilbert = heads.classifier(architectures.build("distilbert_base", **SMALL), classes=2)
    with pytest.raises(
        UserError, match="the student reads segment_ids, which its teacher does not"
    ):
        in_place_of(distilbert, bert)


def teacher_of(model: keras.Model, **options: Any) -> Teacher:
    task: Any = SimpleNamespace(config=Config(architecture="mlp"))
    defaults: dict[str, Any] = {"temperature": 2.0, "alpha": 0.5, "inherit": False}
    return Teacher("runs:/1", "doubles", task, model, **{**defaults, **options})


def test_a_student_may_begin_with_layers_of_its_teacher():
    """Every other one, and only if it inherits."""
    source = heads.classifier(architectures.build("bert_tiny", **{**SMALL, "layers": 4}), classes=2)

    def student() -> keras.Model:
        return heads.classifier(architectures.build("distilbert_base", **SMALL), classes=2)

    network = adapt(teacher_of(source, inherit=True), Network(student(), {"own": source}))
    assert network.parts == {"own": source}
    own, others = transformer_layers(network.model), transformer_layers(source)
    for layer, other in zip(own, (others[0], others[2]), strict=True):
        for one, two in zip(layer.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
    alone = adapt(teacher_of(source), Network(student())).model
    assert alone.input.keys() == source.input.keys()
    first = (transformer_layers(model)[0].get_weights()[0] for model in (alone, source))
    assert np.any(next(first) != next(first))


INHERITING = [
    ("electra_small", {"layers": 9}, "--inherit: the student must not have more layers than the"),
    ("distilbert_base", {"width": 12}, "--inherit: transformer_layer_0 of the student has weights"),
]


@pytest.mark.parametrize(("architecture", "options", "message"), INHERITING)
def test_layers_that_do_not_fit_are_an_error(architecture, options, message):
    source = heads.classifier(architectures.build("bert_tiny", **SMALL), classes=2)
    encoder = architectures.build(architecture, **{**SMALL, **options})
    with pytest.raises(UserError, match=message):
        adapt(teacher_of(source, inherit=True), Network(heads.classifier(encoder, classes=2)))


def test_a_teacher_of_no_weight_is_not_part_of_the_training_model():
    student, loss = linear(2), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(optimizer="sgd", loss=loss)
    model = training_model(teacher_of(linear(1), alpha=0.0), student, loss=loss, metrics=[])
    assert model is student
    fitted: Any = training_model(teacher_of(linear(1)), student, loss=loss, metrics=[])
    assert (fitted.student, fitted.temperature, fitted.alpha) == (student, 2.0, 0.5)
    assert fitted.optimizer is student.optimizer


def test_bars_say_score_and_size():
    teacher = teacher_of(linear(1, units=4))
    config = Config(architecture="perceptron")
    task: Any = SimpleNamespace(
        config=config, teacher=teacher, metric="error", greater_is_better=False
    )
    figure = comparison(
        task,
        teacher_scores={"error": 90.0},
        student_scores={"error": 120.0},
        alone_scores={"error": 130.0},
        student=linear(2),
        milliseconds={"teacher_milliseconds": 12.0, "student_milliseconds": 0.345},
    )
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == [
        "teacher, mlp\n24 parameters, 12 ms a request",
        "student, perceptron\n18 parameters, 0.34 ms a request",
        "student trained without a teacher\n18 parameters, 0.34 ms a request",
    ]
    bars: Any = axes.patches
    assert [bar.get_width() for bar in bars] == [90, 120, 130]
    assert axes.get_xlim()[1] >= 130
