"""What `trainer.build` makes of a recipe: penalties, weights of classes, precision and speed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines import distiller
from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Teacher
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.testing import MemoryLog
from pipelines.training import losses, trainer
from pipelines.training.optimizers import is_kernel
from tests.pipelines import samples


def task(recipe: Recipe) -> ImageClassification:
    return ImageClassification(samples.config(recipe, normalize=True, dropout=0.0))


def built(**options: Any) -> keras.Model:
    return trainer.build(task(Recipe(epochs=1, batch_size=25, **options)), samples.striped()).model


def fitted(own: Any, data: Any) -> tuple[keras.Model, MemoryLog]:
    record = MemoryLog()
    log: Any = record
    return trainer.fit(own, trainer.build(own, data), data, log).model, record


def test_penalties_are_of_the_kernels_alone():
    model = built(l1=0.25, l2=0.5)
    kernels = [np.array(v) for v in model.trainable_variables if is_kernel(v)]
    assert 0 < len(kernels) < len(model.trainable_variables)
    expected = sum(0.25 * np.abs(k).sum() + 0.5 * np.square(k).sum() for k in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)
    assert built().losses == []
    # The network that is written and exported has nothing of it.
    assert type(model).from_config(model.get_config()).losses == []


def test_a_student_has_the_whole_penalty_whatever_its_teacher_weighs():
    data = samples.striped()
    known = task(Recipe()).network(data).model
    teacher = Teacher(
        "runs:/1", "image_classification", task(Recipe()), known, 1.0, alpha=0.75, inherit=False
    )
    (images, labels), *_ = data.train.batch(8).take(1)

    def loss(l2: float) -> tuple[float, float]:
        student = built(l2=l2)
        model = distiller.training_model(teacher, student, loss=student.loss, metrics=[])
        x = task(Recipe()).preprocess(images)
        return float(model.compute_loss(x, labels, model(x))), float(sum(student.losses))

    (plain, _), (penalized, penalty) = loss(0.0), loss(0.5)
    assert penalty > 0
    assert penalized - plain == pytest.approx(penalty, rel=1e-4)


def unbalanced() -> Any:
    """Returns images of which 30 are of the first class, 15 of the second, 5 of the third."""
    data = samples.striped()
    labels = tf.data.Dataset.from_tensor_slices(np.repeat([0, 1, 2], [30, 15, 5]))
    images = data.train.map(lambda image, label: image)
    return replace(data, train=tf.data.Dataset.zip((images, labels)))


def test_balanced_classes_weigh_the_same_together_and_one_per_example():
    model = trainer.build(task(Recipe(class_weights="balanced")), unbalanced()).model
    assert isinstance(model.loss, losses.CrossEntropy)
    assert model.loss.class_weights == pytest.approx([50 / 90, 50 / 45, 50 / 15])
    given = built(class_weights="[1, 2.5, 0]", label_smoothing=0.1)
    assert (given.loss.class_weights, given.loss.smoothing) == ([1.0, 2.5, 0.0], 0.1)
    # Without either, the loss is the task's own.
    assert type(built().loss) is keras.losses.SparseCategoricalCrossentropy


def test_weights_for_other_classes_than_there_are_are_an_error():
    with pytest.raises(UserError, match="--class_weights must be one for each of the 3 classes"):
        built(class_weights="[1, 2]")
    numbers = samples.Doubles(samples.sequence_config(Recipe(label_smoothing=0.1)))
    with pytest.raises(UserError, match="--label_smoothing is for targets that are classes"):
        trainer.build(numbers, numbers.load())


def test_speed_and_determinism_are_as_chosen(monkeypatch):
    called = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: called.append(True)
    )
    model = built(jit_compile="false", steps_per_execution=3)
    # An epoch has two batches.
    assert (model.jit_compile, model.steps_per_execution, called) == (False, 2, [])
    assert built(jit_compile="true", deterministic=True).jit_compile is True
    assert called == [True]
    numbers = samples.Doubles(samples.sequence_config(Recipe()))
    assert trainer.build(numbers, numbers.load()).model.jit_compile is False


def test_several_batches_in_one_call_train_as_one_by_one():
    """Also where the last call of an epoch has fewer."""
    data = samples.sequences()
    weights = []
    for steps in (1, 4):
        recipe = Recipe(epochs=2, batch_size=4, steps_per_execution=steps)
        weights.append(fitted(samples.Doubles(samples.sequence_config(recipe)), data)[0])
    for one, two in zip(*(model.get_weights() for model in weights), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)


def test_float16_scales_the_loss_beside_averages_clipping_and_accumulation():
    optimizer = Optimizer(learning_rate=0.02, average=0.5, clip_norm=1.0, accumulate=2)
    recipe = Recipe(epochs=2, batch_size=10, precision="mixed_float16", optimizer=optimizer)
    data, own = samples.striped(), task(recipe)
    network = trainer.build(own, data)
    scaled = network.model.optimizer
    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)
    record = MemoryLog()
    log: Any = record
    model = trainer.fit(own, network, data, log).model
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    # A gradient that is too large halves the scale, and its batch is left out.
    skipped = math.log2(2**15 / float(scaled.dynamic_scale))
    assert int(scaled.inner_optimizer._iterations) == 10 - skipped
    # Five batches an epoch make three updates.
    assert 6 - skipped <= int(scaled.iterations) <= 6
    assert all(math.isfinite(value) for value in record.epochs[2].values())
    averages = scaled.inner_optimizer._model_variables_moving_average
    for kept, average in zip(model.trainable_variables, averages, strict=True):
        np.testing.assert_allclose(kept, average, rtol=1e-4, atol=1e-6)
