"""Distillation: a teacher that was trained, the loss that passes on what it knows, a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import mlflow
from keras import ops
from matplotlib.figure import Figure

import architectures
from pipelines import figures
from pipelines import run as pipeline
from pipelines.catalog import PIPELINES, make_task
from pipelines.cli import parse
from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.run import Task
from pipelines.tracking import run_id

# Those whose networks give logits over classes or tokens.
TEACHERS = (
    "image_classification",
    "image_segmentation",
    "text_classification",
    "token_classification",
    "language_modeling",
    "translation",
    "bert_pretraining",
)


@dataclass(frozen=True)
class Teacher:
    """A network that a run has trained.

    Attributes:
        pipeline: What made it.
        task: A fresh one of that pipeline.
        config: The run's choices.
        network: From preprocessed inputs to logits, with the trained weights.
    """

    pipeline: str
    task: Task
    config: Config
    network: keras.Model


def find(teacher: str) -> Teacher:
    """Returns the network of a run, which is made first if a pipeline is named.

    Args:
        teacher: `runs:/ID`, `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or one of `TEACHERS`.

    Raises:
        UserError: There is none, or none that a student can learn from.
    """
    if teacher in PIPELINES:
        _check(teacher)
        made = pipeline.run(teacher, make_task(teacher), PIPELINES[teacher].defaults)
        teacher = made.run.uri
    try:
        number = run_id(teacher)
        name = mlflow.get_run(number).data.tags.get("pipeline", "")
        options = mlflow.artifacts.download_artifacts(f"runs:/{number}/config.yaml")
        network = mlflow.artifacts.download_artifacts(f"runs:/{number}/network/model.keras")
    except (mlflow.MlflowException, OSError, ValueError) as error:
        raise UserError(
            f"--teacher must be a run that kept its network, as runs:/… or models:/…, or one of "
            f"{', '.join(TEACHERS)}, not {teacher!r}"
        ) from error
    _check(name)
    _, config = parse([name, "--config", options])
    try:
        return Teacher(name, make_task(name), config, architectures.load(Path(network)))
    except ValueError as error:
        raise UserError(str(error)) from error


def _check(name: str) -> None:
    if name not in TEACHERS:
        raise UserError(f"--teacher must be of {', '.join(TEACHERS)}, not of {name or 'nothing'}")


class Distiller(keras.Model):
    """Trains a student on the truth and on what its teacher thinks of the same inputs.

    Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015: the loss is
    (1 - alpha) times the student's own plus alpha T² times the Kullback-Leibler divergence between
    softmax(teacher / T) and softmax(student / T). Keras' own Distiller leaves sample weights out,
    and would let padding teach; here what weighs nothing in the one term does so in the other.
    """

    def __init__(
        self, teacher: keras.Model, student: keras.Model, *, temperature: float, alpha: float
    ) -> None:
        """Takes two networks with the same outputs; that of the teacher stays as it is."""
        super().__init__(name="distiller")
        self.teacher, self.student = teacher, student
        self.temperature, self.alpha = temperature, alpha
        teacher.trainable = False

    def call(self, inputs, training=None):
        return self.student(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        thought = self.teacher(x, training=False)
        weight = sample_weight
        if isinstance(x, Mapping) and "mask_positions" in x:
            # Where a text has fewer hidden words than others, position 0 stands for none.
            weight = {"masked_lm": x["mask_positions"] > 0}
        soft = soft_loss(thought, y_pred, weight, self.temperature)
        return (1 - self.alpha) * own + self.alpha * soft


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
    expected = ops.log_softmax(teacher / temperature, axis=-1)
    given = ops.log_softmax(student / temperature, axis=-1)
    divergence = ops.sum(ops.exp(expected) * (expected - given), axis=-1)
    if weight is None:
        return temperature**2 * ops.mean(divergence)
    weight = ops.cast(weight, divergence.dtype)
    total = ops.maximum(ops.sum(weight), keras.config.epsilon())
    return temperature**2 * ops.sum(weight * divergence) / total


def in_place_of(teacher: keras.Model, student: keras.Model) -> keras.Model:
    """Returns the student with all inputs of its teacher, whether or not it makes use of them.

    Raises:
        UserError: It needs others, or answers otherwise.
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
    heard = limited(teacher, student).output
    shapes = [
        keras.tree.map_structure(lambda x: tuple(x.shape), y) for y in (student.output, heard)
    ]
    if shapes[0] != shapes[1]:
        raise UserError(f"the student answers {shapes[0]}, its teacher {shapes[1]}")
    return keras.Model(inputs, student.output, name=student.name)


def limited(teacher: keras.Model, student: keras.Model) -> keras.Model:
    """Returns the teacher with those of its outputs that the student has."""
    output = teacher.output
    if isinstance(output, dict):
        if isinstance(student.output, dict):
            output = {name: x for name, x in output.items() if name in student.output}
        else:
            output = output[student.output_names[0]]
    return keras.Model(teacher.input, output, name=teacher.name)


def comparison(metric: str, networks: Mapping[str, tuple[float, int]]) -> Figure:
    """Draws a test score as one bar for each network.

    Args:
        metric: What the score is.
        networks: (score, number of parameters) by name, from top to bottom.
    """
    bars = {f"{name}\n{count:,} parameters": score for name, (score, count) in networks.items()}
    largest = max(1.0, *bars.values())
    return figures.bars(bars, x_label=metric, title=f"{metric} on the test split", largest=largest)
