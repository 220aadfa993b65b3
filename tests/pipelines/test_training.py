"""Training: repeatable by its seed, on its schedule, in its precision, to its best epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import evaluation, training
from pipelines.config import Config, Optimizer, Recipe
from pipelines.image.config import Augmentation
from pipelines.tasks.image_classification.data import LabelledImages
from pipelines.tasks.image_classification.task import ImageClassification
from tests.pipelines import samples
from tests.pipelines.samples import Record

TASK = ImageClassification()
RECIPE = Recipe(epochs=2, batch_size=16, seed=3)
AUGMENTATION = Augmentation(shift=0.1, flip=True)


def fit(
    recipe: Recipe, data=None, augmentation: Augmentation = samples.STILL, **model: Any
) -> tuple[keras.Model, Record]:
    config, data = samples.config(recipe, augmentation, **model), data or samples.striped()
    record: Any = Record()
    built = training.build(TASK, data, config)
    return training.fit(TASK, built, data, config, record), record


@pytest.fixture(scope="module")
def fitted() -> tuple[keras.Model, Record]:
    return fit(RECIPE, augmentation=AUGMENTATION)


def test_the_same_seed_gives_the_same_weights(fitted):
    model, _ = fit(RECIPE, augmentation=AUGMENTATION)
    for one, two in zip(fitted[0].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_another_seed_gives_other_weights(fitted):
    model, _ = fit(replace(RECIPE, seed=4), augmentation=AUGMENTATION)
    assert np.any(fitted[0].layers[1].get_weights()[0] != model.layers[1].get_weights()[0])


def test_each_epoch_is_logged(fitted):
    _, record = fitted
    assert list(record.steps) == [1, 2]
    every = {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert set(record.steps[1]) == every
    assert set(record.steps[2]) == every | {"examples_per_second"}
    assert record.steps[2]["examples_per_second"] > 0
    assert record.steps[2]["learning_rate"] == pytest.approx(0, abs=1e-9)
    for name, values in record.curves.items():
        logged = name if name.startswith("val_") else f"train_{name}"
        assert values == [pytest.approx(step[logged]) for step in record.steps.values()]


def test_a_model_learns_what_can_be_learned():
    recipe = Recipe(epochs=15, batch_size=10, optimizer=Optimizer(learning_rate=0.02))
    model, _ = fit(recipe)
    scores, *_ = training.evaluate(TASK, model, samples.striped(), replace(recipe, batch_size=7))
    assert scores["validation_accuracy"] > 0.9
    assert scores["test_accuracy"] > 0.9


def test_the_evaluation_is_the_mean_over_every_example(fitted):
    model, data = fitted[0], samples.striped()
    scores, intervals, test = training.evaluate(TASK, model, data, replace(RECIPE, batch_size=7))
    for split in ("validation", "test"):
        images, labels = next(getattr(data, split).batch(100).as_numpy_iterator())
        logits = model.predict(images / np.float32(255), verbose=0)
        assert scores[f"{split}_accuracy"] == pytest.approx(np.mean(logits.argmax(-1) == labels))
        chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        loss = -np.log(chance[np.arange(len(labels)), labels]).mean()
        assert scores[f"{split}_log_loss"] == pytest.approx(loss, rel=1e-4)
    # What is returned besides is of the test split, the last one.
    np.testing.assert_array_equal(test.examples["target"], labels)
    np.testing.assert_allclose(test.predicted["probabilities"], chance, rtol=1e-4)
    assert {f"test_{name}" for name in intervals} == {
        name for name in scores if name.startswith("test_")
    }
    low, high = intervals["log_loss"]
    assert low < scores["test_log_loss"] < high
    assert intervals == evaluation.intervals(TASK.scores, test, seed=RECIPE.seed)


def test_mixed_precision_trains_and_returns_a_float32_model():
    recipe = Recipe(epochs=2, batch_size=16, precision="mixed_bfloat16")
    still: dict[str, Any] = {"dropout": 0.0, "stage_dropout": 0.0}
    config, data, record = samples.config(recipe, **still), samples.striped(), Record()
    built = training.build(TASK, data, config)
    assert "bfloat16" in {layer.compute_dtype for layer in built.layers}
    assert keras.config.dtype_policy().name == "float32"
    model = training.fit(TASK, built, data, config, record)  # type: ignore[arg-type]
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    for one, two in zip(built.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    # It is the same training, a little less exact.
    _, exact = fit(replace(recipe, precision="float32"), **still)
    assert record.curves["loss"] != exact.curves["loss"]
    assert record.curves["loss"] == pytest.approx(exact.curves["loss"], rel=0.05)


def test_a_model_that_cannot_be_built_leaves_the_precision_as_it_was():
    config = samples.config(replace(RECIPE, precision="mixed_bfloat16"), padding="nonsense")
    with pytest.raises(Exception, match="padding"):
        training.build(TASK, samples.striped(), config)
    assert keras.config.dtype_policy().name == "float32"


def test_early_stopping_restores_the_best_weights():
    data = samples.striped()
    # Whoever learns the training split gets ever worse on a validation split of wrong labels.
    wrong = data.validation.map(lambda image, label: (image, (label + 1) % 3))
    recipe = Recipe(epochs=9, batch_size=5, patience=2, optimizer=Optimizer(learning_rate=0.02))
    data = replace(data, validation=wrong)
    model, record = fit(recipe, data)
    losses = record.curves["val_loss"]
    assert len(losses) == losses.index(min(losses)) + 1 + recipe.patience < recipe.epochs
    scores, *_ = training.evaluate(TASK, model, data, recipe)
    assert scores["validation_log_loss"] == pytest.approx(min(losses), rel=1e-4)


def rates(choice: Optimizer, steps: int) -> list[float]:
    """Returns the learning rate of each step and of the one after the last."""
    optimizer = training.optimizer(choice, steps)
    values = []
    for step in range(steps + 1):
        optimizer.iterations.assign(step)
        values.append(float(optimizer.learning_rate))
    return values


def test_the_learning_rate_rises_linearly_and_falls_like_a_cosine():
    values = rates(Optimizer(learning_rate=0.4, warmup=0.2), 100)
    np.testing.assert_allclose(values[:21], np.linspace(0, 0.4, 21), rtol=1e-5)
    falling = 0.2 * (1 + np.cos(np.pi * np.arange(81) / 80))
    np.testing.assert_allclose(values[20:], falling, rtol=1e-5, atol=1e-7)


@settings(max_examples=15)
@given(st.integers(1, 40), st.floats(0, 0.9), st.floats(1e-5, 1))
def test_the_learning_rate_peaks_after_the_warmup_and_ends_at_zero(steps, warmup, peak):
    values = rates(Optimizer(learning_rate=peak, warmup=warmup), steps)
    top = int(warmup * steps)
    assert max(values) == values[top] == pytest.approx(peak)
    assert values[:top] == sorted(values[:top])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert values[-1] == pytest.approx(0, abs=1e-6 * peak)


def test_the_learning_rate_rises_linearly_and_falls_with_the_root_of_the_step():
    values = rates(Optimizer(learning_rate=0.4, schedule="inverse_sqrt", warmup=0.2), 100)
    steps = np.arange(1, 102)
    # Equation 3 of the paper, for the width whose peak this is.
    expected = 0.4 * 20**0.5 * np.minimum(steps**-0.5, steps * 20**-1.5)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_averaged_weights_have_learned_even_in_a_short_run():
    """An average that reaches back before the run would keep the weights that it began with."""
    choice = Optimizer(learning_rate=0.02, average=0.999)
    recipe = Recipe(epochs=15, batch_size=10, optimizer=choice)
    model, _ = fit(recipe)
    scores, *_ = training.evaluate(TASK, model, samples.striped(), recipe)
    assert scores["validation_accuracy"] > 0.9
    last, _ = fit(replace(recipe, optimizer=replace(choice, average=0.0)))
    assert np.any(model.get_weights()[0] != last.get_weights()[0])


@pytest.mark.parametrize(("steps", "momentum"), [(100, 0.96), (10_000, 0.999), (3, 0.0)])
def test_an_average_spans_a_quarter_of_the_run_at_most(steps, momentum):
    assert training.optimizer(Optimizer(average=0.999), steps).ema_momentum == momentum


def test_what_the_model_writes_is_logged_after_each_epoch(monkeypatch):
    monkeypatch.setattr(
        TASK, "samples", lambda model, data: f"{data.name}, {model.name}", raising=False
    )
    _, record = fit(RECIPE)
    assert record.texts == {1: "striped, convnet", 2: "striped, convnet"}


def test_a_task_may_let_another_model_teach_the_network(monkeypatch):
    """Without a word of truth: the loss is the distance to weights of one."""

    class Teacher(keras.Model):
        def __init__(self, student):
            super().__init__()
            self.student = student

        def call(self, inputs, training=None):
            return self.student(inputs, training=training)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            (kernel, *_) = self.student.trainable_variables
            return keras.ops.mean(keras.ops.square(kernel - 1))

    def learner(model):
        teacher = Teacher(model)
        teacher.compile(optimizer=model.optimizer)
        return teacher

    monkeypatch.setattr(TASK, "learner", learner, raising=False)
    recipe = replace(RECIPE, epochs=20, optimizer=Optimizer(learning_rate=0.05))
    model, record = fit(recipe)
    np.testing.assert_allclose(model.trainable_variables[0], 1, atol=0.1)
    assert record.curves["loss"][-1] < 0.01 < record.curves["loss"][0]


def stepped(choice: Optimizer, names: list[str], gradient: float) -> dict[str, float]:
    """Returns variables that were 1 after one step with the same gradient each."""
    optimizer = training.optimizer(choice, 100)
    variables = [keras.Variable(np.ones(1, "float32"), name=name) for name in names]
    optimizer.apply([tf.constant([gradient]) for _ in names], variables)
    return {v.name: float(v.numpy()[0]) for v in variables}


def test_weights_decay_and_biases_and_normalisations_do_not():
    choice = Optimizer(learning_rate=0.5, weight_decay=0.1, warmup=0.0)
    values = stepped(choice, ["kernel", "bias", "gamma", "beta"], gradient=0.0)
    assert values.pop("kernel") == pytest.approx(0.95)
    assert values == {"bias": 1, "gamma": 1, "beta": 1}


def test_the_gradient_is_clipped_by_its_whole_norm():
    """Adam divides by the gradient, so clipping shows where nothing but epsilon is left of it."""
    free = Optimizer(learning_rate=0.5, weight_decay=0.0, warmup=0.0)
    assert stepped(free, ["kernel"], gradient=3.0)["kernel"] == pytest.approx(0.5, rel=1e-3)
    clipped = replace(free, clip_norm=1e-9)
    assert stepped(clipped, ["kernel"], gradient=3.0)["kernel"] > 0.99


def epoch(batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(inputs), np.concatenate(targets)


@pytest.mark.parametrize(
    "augmentation", [Augmentation(), Augmentation(shift=0.2, rotation=0.1, zoom=0.1, flip=True)]
)
def test_batches_repeat_for_the_same_seed(augmentation):
    data = samples.striped()
    one, same, other = (
        training.batches(TASK, data, samples.config(replace(RECIPE, seed=seed), augmentation))
        for seed in (3, 3, 99)
    )
    for _ in range(2):  # In the second epoch too, which is another one.
        (first, labels), (second, names), (third, _) = map(epoch, (one, same, other))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(labels, names)
        assert np.any(first != third)


def test_the_seed_decides_how_an_image_is_augmented():
    data = samples.striped()
    lone = replace(data, train=data.train.take(1), sizes={**data.sizes, "train": 1})
    augmentation = Augmentation(shift=0.3, rotation=0.2)
    one, same, other = (
        epoch(
            training.batches(TASK, lone, samples.config(replace(RECIPE, seed=seed), augmentation))
        )
        for seed in (3, 3, 99)
    )
    np.testing.assert_array_equal(one[0], same[0])
    assert np.any(one[0] != other[0])


def test_each_epoch_has_every_training_example_once_in_another_order():
    data = samples.striped()
    batches = training.batches(TASK, data, samples.config(RECIPE))
    assert [len(targets) for _, targets in batches] == [16, 16, 16, 2]
    (first, _), (second, _) = epoch(batches), epoch(batches)
    images, _ = next(data.train.batch(100).as_numpy_iterator())
    whole = sorted((images / np.float32(255)).reshape(50, -1).tolist())
    assert sorted(first.reshape(50, -1).tolist()) == whole
    assert sorted(second.reshape(50, -1).tolist()) == whole
    assert np.any(first != second)


class Relabelling(ImageClassification):
    """Augments images and labels together."""

    def augment(self, config):
        return lambda images, labels: (images + 10.0, labels + 100)


def test_the_augmentation_may_change_inputs_and_targets_of_training_only():
    """It comes after preprocessing, which ends at 1; the validation split stays as it is."""
    data = samples.striped()
    for images, labels in training.batches(Relabelling(), data, samples.config(RECIPE)):
        assert np.all(images >= 10.0)
        assert np.all(images <= 11.0)
        assert set(labels.numpy()) <= {100, 101, 102}
    for images, labels in training._evaluated(Relabelling(), data.validation, 7):
        assert np.all(images <= 1.0)
        assert set(labels.numpy()) <= {0, 1, 2}


SEQUENCES = samples.Doubles()
# Short and long ones, two at a bucket's edge and one beyond the last.
LENGTHS = (3, 7, 8, 11, 12, 1, 600, 5, 513, 40, 47, 2, 7, 30, 9, 45, 4, 6)


def of_sequences(batch_size: int, seed: int = 0, data: Any = None) -> tf.data.Dataset:
    recipe = Recipe(batch_size=batch_size, seed=seed)
    config = Config(dataset="sequences", architecture="gru", recipe=recipe)
    return training.batches(SEQUENCES, data or samples.sequences(train=LENGTHS), config)


def order(batches: tf.data.Dataset) -> list[list[int]]:
    """Returns which examples each batch holds, for each number tells whose it is."""
    return [[round(float(row[0, 0])) - 1 for row in inputs] for inputs, *_ in batches]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_sequences_are_padded_only_to_the_longest_of_a_batch(batch_size):
    edges = [0, *training._BUCKETS, 1000]
    seen = []
    for inputs, target, weight in of_sequences(batch_size):
        members = [round(float(row[0, 0])) - 1 for row in inputs]
        lengths = [LENGTHS[member] for member in members]
        assert len(members) <= batch_size
        assert inputs.shape == target.shape == (*weight.shape, 1) == (len(members), max(lengths), 1)
        assert weight.numpy().tolist() == [
            [1.0] * length + [0.0] * (max(lengths) - length) for length in lengths
        ]
        for row, goal, member, length in zip(inputs, target, members, lengths, strict=True):
            numbers = member + 1 + np.arange(length) / 1000
            np.testing.assert_allclose(row[:length, 0], numbers, rtol=1e-5)
            np.testing.assert_allclose(goal[:length, 0], 2 * numbers, rtol=1e-5)
            assert not np.any(row[length:])
            assert not np.any(goal[length:])
        # All are between the same two edges.
        assert len({int(np.searchsorted(edges, length, side="right")) for length in lengths}) == 1
        seen += members
    assert sorted(seen) == list(range(len(LENGTHS)))


def test_batches_of_sequences_repeat_for_the_same_seed():
    one, same, other = (of_sequences(2, seed) for seed in (3, 3, 99))
    for _ in range(2):
        first = order(one)
        assert first == order(same) != order(other)
    assert first != order(one), "every epoch has an order of its own"


def test_the_longest_part_of_an_example_decides_its_bucket():
    """Inputs may be several, and targets shorter than they, or single numbers."""
    data = samples.sequences(train=LENGTHS)
    task: Any = samples.Doubles()
    task.preprocess = lambda inputs: inputs
    several = data.train.map(lambda x, y, weight: ({"short": x[:1], "long": x}, y[0, 0]))
    config = Config(recipe=Recipe(batch_size=3))
    found = []
    for inputs, target in training.batches(task, replace(data, train=several), config):
        lengths = np.count_nonzero(inputs["long"], axis=1)
        assert inputs["long"].shape[1] == max(lengths)
        assert inputs["short"].shape[1] == 1
        assert len(set(np.searchsorted(training._BUCKETS, lengths, side="right"))) == 1
        np.testing.assert_allclose(target, inputs["short"][:, 0] / 500, rtol=1e-6)
        found += lengths.tolist()
    assert sorted(found) == sorted(LENGTHS)


@settings(max_examples=10)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(1, 6))
def test_buckets_are_those_of_the_batches(lengths, batch_size):
    buckets = training.buckets(np.array(lengths))
    assert sorted(np.concatenate(buckets)) == sorted(lengths)
    count = sum(-(-len(bucket) // batch_size) for bucket in buckets)
    data = samples.sequences(train=lengths)
    assert len(order(of_sequences(batch_size, data=data))) == count


def test_the_learning_rate_ends_at_zero_with_the_last_batch_of_sequences():
    """An epoch has more batches than examples over batch size, for each bucket has a last one.

    Were their number unknown, Keras would count an update more in every epoch.
    """
    data = samples.sequences(train=LENGTHS)
    recipe = Recipe(epochs=3, batch_size=4, optimizer=Optimizer(learning_rate=0.5, warmup=0.0))
    config, record = Config(architecture="gru", recipe=recipe), Record()
    model = training.build(SEQUENCES, data, config)
    training.fit(SEQUENCES, model, data, config, record)  # type: ignore[arg-type]
    assert int(model.optimizer.iterations) == 3 * len(order(of_sequences(4)))
    rates = [step["learning_rate"] for step in record.steps.values()]
    # At the ends of three epochs of a cosine's half period.
    np.testing.assert_allclose(rates, [0.375, 0.125, 0.0], atol=1e-6)


def test_padding_weighs_nothing_in_training_and_in_validation():
    """One batch of all sequences has the loss of the places that hold a number."""
    data = samples.sequences(train=(2, 5, 1), validation=(4, 1))
    recipe = Recipe(epochs=1, batch_size=9, optimizer=Optimizer(learning_rate=1e-9))
    config, record = Config(architecture="gru", recipe=recipe), Record()
    model = training.build(SEQUENCES, data, config)
    ((kernel,),), (bias,) = model.get_weights()
    training.fit(SEQUENCES, model, data, config, record)  # type: ignore[arg-type]
    for name, lengths in (("train_loss", (2, 5, 1)), ("val_loss", (4, 1))):
        numbers = np.concatenate(
            [index + 1 + np.arange(length) / 1000 for index, length in enumerate(lengths)]
        )
        gap = np.abs(numbers * kernel + bias - 2 * numbers)
        padded = len(lengths) * max(lengths)
        assert record.steps[1][name] == pytest.approx(gap.sum() / padded, rel=1e-4)


def test_large_sets_are_not_kept_in_memory(monkeypatch):
    def passes(limit: int) -> int:
        monkeypatch.setattr(training, "_CACHE_BYTES", limit)
        read = tf.Variable(0)

        def counted(image, label):
            read.assign_add(1)
            return image, label

        data = samples.striped()
        data = replace(data, train=data.train.map(counted))
        batches = training.batches(TASK, data, samples.config(RECIPE, AUGMENTATION))
        for _ in range(2):
            epoch(batches)
        return int(read) // data.sizes["train"]

    size = samples.SIZES["train"] * 64
    assert passes(size) == 1
    assert passes(size - 1) == 2
    # Nor is what every pass draws anew.
    monkeypatch.setattr(LabelledImages, "example_bytes", None)
    assert passes(size) == 2


def test_without_several_gpus_a_model_is_trained_on_one_device():
    if len(tf.config.list_logical_devices("GPU")) > 1:
        pytest.skip("this machine has several GPUs")
    assert training.strategy().num_replicas_in_sync == 1
    assert training.device() in ("CPU",) or training.device().startswith("1 x ")
