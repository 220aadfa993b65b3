"""Knowledge distillation: the loss and the model that train a student on a teacher's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from matplotlib.figure import Figure

from pipelines import figures, latency, style
from pipelines.datasets.dataset import Dataset
from pipelines.errors import UserError
from pipelines.predictions import Scores
from pipelines.task import Network, Task, Teacher
from pipelines.training import multi_worker

WITHOUT_TEACHER = "student trained without a teacher"
# Of the teacher, the student, and the student alone.
_COLORS = (style.OTHER, style.NETWORK, style.BASELINE)


class Distiller(keras.Model):
    """Trains a student on the targets and on its teacher's outputs for the same inputs.

    Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015: the loss is
    (1 - alpha) times the student's own plus alpha T² times the Kullback-Leibler divergence between
    softmax(teacher / T) and softmax(student / T). Keras' own Distiller ignores sample weights, so
    that padding would count; here both terms have the same weights.
    """

    def __init__(
        self, teacher: keras.Model, student: keras.Model, *, temperature: float, alpha: float
    ) -> None:
        """Takes two networks with the same outputs; the teacher's weights are frozen."""
        super().__init__(name="distiller")
        self.teacher, self.student = teacher, student
        self.temperature, self.alpha = temperature, alpha
        teacher.trainable = False

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.student(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        teacher_outputs = self.teacher(x, training=False)
        weight = sample_weight
        if isinstance(x, Mapping) and "mask_positions" in x:
            # Where a text has fewer masked tokens than others, position 0 stands for none.
            weight = {"masked_lm": x["mask_positions"] > 0}
        soft = soft_loss(teacher_outputs, y_pred, weight, self.temperature)
        # Penalties of weights are a part of `own`, and count in full.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        penalties = sum(self.losses, start=0.0) / replicas
        return (1 - self.alpha) * own + self.alpha * (soft + penalties)


def soft_loss(teacher: Any, student: Any, weight: Any, temperature: float) -> Any:
    """Returns T² KL(teacher || student) of distributions over the last axis, a scalar.

    Args:
        teacher: Logits, float [batch, …, classes], or a dict of such.
        student: The same.
        weight: Weights [batch, …] of the mean, or a dict of such; None for 1.
        temperature: What logits are divided by.
    """
    if isinstance(student, Mapping):
        weights = weight if isinstance(weight, Mapping) else dict.fromkeys(student, weight)
        parts = [
            soft_loss(teacher[name], logits, weights.get(name), temperature)
            for name, logits in student.items()
        ]
        return sum(parts)
    strategy = tf.distribute.get_strategy()
    loss = multi_worker.global_means(_Divergence(temperature), strategy)
    return loss(teacher, student, weight)


class _Divergence(keras.losses.Loss):
    """T² KL(softmax(y_true / T) || softmax(y_pred / T)); the mean counts weights."""

    def __init__(self, temperature: float) -> None:
        super().__init__(name="divergence", reduction="mean_with_sample_weight")
        self._temperature = temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        expected = ops.log_softmax(y_true / self._temperature, axis=-1)
        predicted = ops.log_softmax(y_pred / self._temperature, axis=-1)
        divergence = ops.sum(ops.exp(expected) * (expected - predicted), axis=-1)
        return self._temperature**2 * divergence


def adapt(teacher: Teacher, network: Network) -> Network:
    """Returns a student that takes all inputs of its teacher, and its layers if it inherits them.

    Raises:
        UserError: The student needs other inputs, has other outputs, or cannot inherit.
    """
    if teacher.inherit:
        # It imports KerasHub, which takes a second and few students need.
        from architectures.bert import inherit

        try:
            inherit(network.model, teacher.model)
        except ValueError as error:
            raise UserError(f"--{error}") from error
    return replace(network, model=in_place_of(teacher.model, network.model))


def training_model(
    teacher: Teacher, student: keras.Model, *, loss: Any, metrics: Any
) -> keras.Model:
    """Returns the compiled model that is fitted to train a compiled student."""
    if not teacher.alpha:
        return student
    distiller = Distiller(
        limited(teacher.model, student),
        student,
        temperature=teacher.temperature,
        alpha=teacher.alpha,
    )
    distiller.compile(
        optimizer=student.optimizer,
        loss=loss,
        weighted_metrics=metrics,
        jit_compile=student.jit_compile,
        steps_per_execution=student.steps_per_execution,
    )
    return distiller


def in_place_of(teacher: keras.Model, student: keras.Model) -> keras.Model:
    """Returns the student with all inputs of its teacher, whether or not it uses them.

    Raises:
        UserError: It needs other inputs, or has other outputs.
    """
    inputs = student.input
    if isinstance(inputs, dict):
        if lacking := sorted(inputs.keys() - teacher.input.keys()):
            raise UserError(f"the student reads {', '.join(lacking)}, which its teacher does not")
        own = {
            name: keras.Input(x.shape[1:], dtype=x.dtype, name=name)
            for name, x in teacher.input.items()
        }
        inputs = {**own, **inputs}
    expected = limited(teacher, student).output
    shapes = [
        keras.tree.map_structure(lambda x: tuple(x.shape), y) for y in (student.output, expected)
    ]
    if shapes[0] != shapes[1]:
        raise UserError(f"the student's outputs are {shapes[0]}, its teacher's {shapes[1]}")
    return keras.Model(inputs, student.output, name=student.name)


def limited(teacher: keras.Model, student: keras.Model) -> keras.Model:
    """Returns the teacher with only the outputs that the student has."""
    output = teacher.output
    if isinstance(output, dict):
        if isinstance(student.output, dict):
            output = {name: x for name, x in output.items() if name in student.output}
        else:
            output = output[student.output_names[0]]
    return keras.Model(teacher.input, output, name=teacher.name)


def latencies(task: Task, network: Network, data: Dataset) -> Scores:
    """Returns how long teacher and student take for one request, in ms, by the metrics' names.

    Args:
        task: The student's task, with its teacher.
        network: The student.
        data: Requests are from its test split.
    """
    teacher = task.teacher
    assert teacher is not None
    # Parts are what other signatures need than the one that is measured.
    networks = {"teacher": (teacher.task, Network(teacher.model, network.parts))}
    networks["student"] = (task, network)
    return {
        f"{name}_milliseconds": latency.milliseconds(own.signatures(each, data)[0])
        for name, (own, each) in networks.items()
    }


def comparison(
    task: Task,
    *,
    teacher_scores: Scores,
    student_scores: Scores,
    alone_scores: Scores,
    student: keras.Model,
    milliseconds: Mapping[str, float],
) -> Figure:
    """Plots the test scores of teacher, student, and student without a teacher, as bars.

    Their names say how large the networks are and how fast.

    Args:
        task: The student's task, with its teacher.
        teacher_scores: Scores on the test split.
        student_scores: Scores of the trained student.
        alone_scores: Scores of the same network trained without a teacher.
        student: The student's network.
        milliseconds: What `latencies` returned.
    """
    teacher = task.teacher
    assert teacher is not None
    size, time = student.count_params(), milliseconds["student_milliseconds"]
    rows = (
        (
            f"teacher, {teacher.task.config.architecture}",
            teacher_scores,
            teacher.model.count_params(),
            milliseconds["teacher_milliseconds"],
        ),
        (f"student, {task.config.architecture}", student_scores, size, time),
        (WITHOUT_TEACHER, alone_scores, size, time),
    )
    bars = {
        f"{name}\n{count:,} parameters, {each:.2g} ms a request": score[task.metric]
        for name, score, count, each in rows
    }
    largest = max(1.0, *bars.values())
    words = task.metric.replace("_", " ")
    label = style.directed(words, task.greater_is_better, axis="x")
    title = f"Teacher and student: {words} on test"
    return figures.bars(bars, x_label=label, title=title, largest=largest, colors=_COLORS)
