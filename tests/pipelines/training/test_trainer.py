"""Training: repeatable by its seed, on its schedule, in its precision, to its best epoch."""

from __future__ import annotations

import io
import itertools
import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from pipelines import evaluation, progress
from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.errors import TrainingError, UserError
from pipelines.image.config import Augmentation
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Network, Task, Teacher
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.testing import MemoryLog
from pipelines.training import batching, callbacks, strategies, trainer
from tests.pipelines import samples

RECIPE = Recipe(epochs=2, batch_size=16, seed=3)
AUGMENTATION = Augmentation(shift=0.1, flip=True)
LEARNING = Recipe(epochs=15, batch_size=10, optimizer=Optimizer(learning_rate=0.02))


def classification(recipe: Recipe = RECIPE, **model: Any) -> ImageClassification:
    return ImageClassification(samples.config(recipe, **model))


def fit(task: Task, data: Dataset | None = None) -> tuple[keras.Model, MemoryLog]:
    """Builds and trains a network, by default on striped images; returns what it logged too."""
    data, record = data or samples.striped(), MemoryLog()
    logged: Any = record
    return trainer.fit(task, trainer.build(task, data), data, logged).model, record


def score(task: Task, model: keras.Model, data: Dataset, split: str = "validation") -> dict:
    return evaluation.score(task, model, data, split)


AUGMENTED = ImageClassification(samples.config(RECIPE, AUGMENTATION))


@pytest.fixture(scope="module")
def fitted() -> tuple[keras.Model, MemoryLog]:
    return fit(AUGMENTED)


@pytest.fixture(scope="module")
def learned() -> keras.Model:
    return fit(classification(LEARNING))[0]


def test_the_same_seed_gives_the_same_weights(fitted):
    model, _ = fit(AUGMENTED)
    for one, two in zip(fitted[0].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_training_step_is_traced_once(monkeypatch):
    traced = []
    step = keras.Model.train_step

    def counted(model, data):
        traced.append(model.name)
        return step(model, data)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    task = classification()
    network = trainer.build(task, samples.striped())
    trainer.fit(task, network, samples.striped(), MemoryLog())
    assert traced == [network.model.name]


def test_the_seed_decides_the_initial_weights():
    data = samples.striped()
    one, same, other = (
        trainer.build(classification(replace(RECIPE, seed=seed)), data).model.get_weights()
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one[0], same[0])
    assert np.any(one[0] != other[0])


def test_each_epoch_is_logged(fitted):
    _, record = fitted
    assert list(record.epochs) == [1, 2]
    every = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert set(record.epochs[1]) == every
    assert set(record.epochs[2]) == every | {"examples_per_second"}
    assert record.epochs[2]["examples_per_second"] > 0
    assert record.epochs[2]["learning_rate"] == pytest.approx(0, abs=1e-9)
    for name, values in record.curves.items():
        assert values == [pytest.approx(step[name]) for step in record.epochs.values()]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_network_learns_the_classes(learned, split):
    assert score(classification(), learned, samples.striped(), split)["accuracy"] > 0.9


def test_averaged_weights_have_learned_even_in_a_short_run(learned):
    """An average that reaches back before the run would keep the weights that it began with."""
    task = classification(
        replace(LEARNING, optimizer=replace(LEARNING.optimizer, average=0.999)),
    )
    model, _ = fit(task)
    assert score(task, model, samples.striped())["accuracy"] > 0.9
    assert np.any(model.get_weights()[0] != learned.get_weights()[0])


def test_mixed_precision_trains_and_returns_a_float32_model():
    recipe = Recipe(epochs=2, batch_size=16, precision="mixed_bfloat16")
    task = classification(recipe, dropout=0.0, stage_dropout=0.0)
    data, record = samples.striped(), MemoryLog()
    built = trainer.build(task, data)
    assert "bfloat16" in {layer.compute_dtype for layer in built.model.layers}
    assert keras.config.dtype_policy().name == "float32"
    model = trainer.fit(task, built, data, record).model
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    for one, two in zip(built.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    # It is the same training, a little less exact.
    exact = replace(recipe, precision="float32")
    _, expected = fit(classification(exact, dropout=0.0, stage_dropout=0.0))
    assert record.curves["loss"] != expected.curves["loss"]
    assert record.curves["loss"] == pytest.approx(expected.curves["loss"], rel=0.05)


def test_a_model_that_cannot_be_built_leaves_the_precision_as_it_was():
    task = classification(replace(RECIPE, precision="mixed_bfloat16"), padding="nonsense")
    with pytest.raises(Exception, match="padding"):
        trainer.build(task, samples.striped())
    assert keras.config.dtype_policy().name == "float32"


def mislabeled(split: tf.data.Dataset) -> tf.data.Dataset:
    return split.map(lambda image, label: (image, (label + 1) % 3))


@pytest.mark.parametrize(
    ("patience", "keep", "best"),
    [(2, "auto", True), (2, "last", False), (0, "best", True), (0, "auto", False)],
)
def test_training_may_stop_early_and_keep_the_best_weights(patience, keep, best):
    # On wrong labels, the validation loss grows as the network learns the right ones.
    data = samples.striped()
    data = replace(data, validation=mislabeled(data.validation))
    optimizer = Optimizer(learning_rate=0.02)
    recipe = Recipe(epochs=7, batch_size=5, patience=patience, keep=keep, optimizer=optimizer)
    task = classification(recipe)
    model, record = fit(task, data)
    losses = record.curves["val_loss"]
    lowest = losses.index(min(losses)) + 1
    assert lowest < len(losses) == (lowest + patience if patience else 7)
    kept = min(losses) if best else losses[-1]
    assert score(task, model, data)["log_loss"] == pytest.approx(kept, rel=1e-4)


@pytest.mark.parametrize("patience", [0, 2])
def test_validation_uses_the_averaged_weights_that_are_kept(patience):
    """The last value on the screen is that of the table; with patience, the best epoch's is."""
    data = samples.striped()
    if patience:
        data = replace(data, validation=mislabeled(data.validation))
    optimizer = Optimizer(learning_rate=0.02, average=0.9)
    task = classification(Recipe(epochs=9, batch_size=5, patience=patience, optimizer=optimizer))
    model, record = fit(task, data)
    losses = record.curves["val_loss"]
    kept = min(losses) if patience else losses[-1]
    assert score(task, model, data)["log_loss"] == pytest.approx(kept, rel=1e-4)
    if patience:
        assert len(losses) == losses.index(kept) + 1 + patience < 9


def test_the_screen_says_which_epoch_early_stopping_keeps(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=file, width=80))
    data = samples.striped()
    data = replace(data, validation=mislabeled(data.validation))
    optimizer = Optimizer(learning_rate=0.02)
    recipe = Recipe(epochs=9, batch_size=5, patience=1, optimizer=optimizer)
    _, record = fit(classification(recipe), data)
    losses = record.curves["val_loss"]
    best = losses.index(min(losses)) + 1
    *epochs, last = file.getvalue().splitlines()
    assert len(epochs) == len(losses)
    assert last.endswith(f"keeps the weights of epoch {best}, with the lowest validation loss")


class Hopeless(samples.Doubles):
    """A task whose loss is no number from a step of training on."""

    value = float("nan")

    def loss(self, data: Dataset) -> Any:
        return lambda target, outputs: outputs * self.value


@pytest.mark.parametrize(
    ("optimizer", "precision", "advice"),
    [
        (
            Optimizer(learning_rate=0.25),
            "float32",
            "a lower --optimizer.learning_rate than 0.25 or --optimizer.clip_norm 1",
        ),
        (
            Optimizer(learning_rate=0.25, clip_norm=2.0),
            "mixed_bfloat16",
            "a lower --optimizer.learning_rate than 0.25 or --precision float32",
        ),
    ],
)
def test_a_loss_that_is_no_number_ends_training_with_advice(optimizer, precision, advice):
    recipe = Recipe(epochs=3, batch_size=4, optimizer=optimizer, precision=precision)
    message = re.escape(f"the loss became nan in epoch 1; try {advice}")
    with pytest.raises(TrainingError, match=f"^{message}$"):
        fit(Hopeless(samples.sequence_config(recipe)), samples.sequences())


def epochs(record: MemoryLog, bar: Any = None) -> callbacks.Epochs:
    callback = callbacks.Epochs(record, bar, Recipe(), examples=9, steps=3, validation_steps=1)
    callback.set_model(SimpleNamespace(optimizer=SimpleNamespace(learning_rate=0.1)))
    return callback


def test_an_infinite_validation_loss_ends_training_too_and_its_epoch_is_logged():
    record = MemoryLog()
    callback = epochs(record)
    callback.on_epoch_begin(4)
    callback.on_test_begin()
    message = "the validation loss became inf in epoch 5; try a lower"
    with pytest.raises(TrainingError, match=message):
        callback.on_epoch_end(4, {"loss": 1.0, "val_loss": math.inf})
    assert record.epochs[5]["val_loss"] == math.inf


def test_within_an_epoch_the_bar_moves_over_batches_of_training_and_validation(monkeypatch):
    shown = []
    bar = SimpleNamespace(
        within=lambda *values: shown.append(values), advance=lambda note: shown.append(note)
    )
    # Each look at the clock is half a second after the one before.
    clock = itertools.count(100.0, 0.5)
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    callback = epochs(MemoryLog(), bar)
    callback.on_epoch_begin(0)  # 100.0
    callback.on_train_batch_end(0, {"loss": 2.0})  # Its time, up to 100.5, is mostly tracing.
    callback._shown = 101.9
    callback.on_train_batch_end(1, {"loss": 1.0})  # 102.0 is too soon to be shown.
    callback._shown = 0.0
    callback.on_train_batch_end(2, {"loss": 0.5})  # 102.5, shown at 103.0
    callback.on_test_begin()  # 103.5
    callback.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.25, "val_accuracy": 0.75})
    callback.on_epoch_begin(1)  # 104.0
    callback._shown = 0.0
    callback.on_train_batch_end(0, {"loss": 0.5})  # 104.5, shown at 105.0
    assert shown == [
        (0.25, "loss 2.0000 so far"),
        (0.75, "loss 0.5000 so far, 2.4 examples/s"),
        "loss 0.5000, validation accuracy 0.7500, 2 examples/s",
        (0.25, "loss 0.5000 so far, validation accuracy 0.7500, 3 examples/s"),
    ]


class Naming(samples.Doubles):
    """A task that generates a text after each epoch."""

    def sampler(self, network: Network, data: Dataset):
        texts = iter(f"{data.name} {number}" for number in range(9))
        return lambda: next(texts)


def test_the_text_that_a_network_generates_is_logged_after_each_epoch():
    """The sampler is made once, before training, and called after each epoch."""
    _, record = fit(Naming(samples.sequence_config()), samples.sequences())
    assert record.texts == {1: "sequences 0", 2: "sequences 1"}


def test_a_student_learns_from_its_teachers_outputs(learned):
    """With alpha 1, targets do not count: here all of them are wrong."""
    own = classification(LEARNING)
    teacher = Teacher(
        "runs:/1", "image_classification", own, learned, temperature=1.0, alpha=1.0, inherit=False
    )
    right = samples.striped()
    student = ImageClassification(own.config, teacher)
    model, _ = fit(student, replace(right, train=mislabeled(right.train)))
    assert score(student, model, right)["accuracy"] > 0.9


def fit_doubles(recipe: Recipe, **lengths: Any) -> tuple[Network, list[np.ndarray], MemoryLog]:
    """Trains on sequences; returns the network, its initial weights, and what was logged."""
    task, data = samples.Doubles(samples.sequence_config(recipe)), samples.sequences(**lengths)
    record, network = MemoryLog(), trainer.build(task, data)
    initial = network.model.get_weights()
    trainer.fit(task, network, data, record)
    return network, initial, record


def test_the_learning_rate_ends_at_zero_with_the_last_batch_of_sequences():
    """An epoch has more batches than examples over batch size, as each bucket has a last one.

    If their number were unknown, Keras would count one update more in every epoch.
    """
    lengths = (3, 7, 8, 11, 12, 1, 600, 5, 513, 40, 47, 2, 7, 30, 9, 45, 4, 6)
    recipe = Recipe(epochs=3, batch_size=4, optimizer=Optimizer(learning_rate=0.5, warmup=0.0))
    network, _, record = fit_doubles(recipe, train=lengths)
    steps = batching.steps_per_epoch(samples.sequences(train=lengths), 4)
    assert int(network.model.optimizer.iterations) == 3 * steps > 3 * -(-len(lengths) // 4)
    rates = [step["learning_rate"] for step in record.epochs.values()]
    # At the ends of three epochs of a cosine's half period.
    np.testing.assert_allclose(rates, [0.375, 0.125, 0.0], atol=1e-6)


def test_padding_weighs_nothing_in_training_and_in_validation():
    """The loss of one batch of all sequences is that of the positions that hold a number."""
    recipe = Recipe(epochs=1, batch_size=9, optimizer=Optimizer(learning_rate=1e-9))
    _, weights, record = fit_doubles(recipe, train=(2, 5, 1), validation=(4, 1))
    ((kernel,),), (bias,) = weights
    for name, lengths in (("loss", (2, 5, 1)), ("val_loss", (4, 1))):
        numbers = np.concatenate(
            [index + 1 + np.arange(length) / 1000 for index, length in enumerate(lengths)]
        )
        gap = np.abs(numbers * kernel + bias - 2 * numbers)
        padded = len(lengths) * max(lengths)
        assert record.epochs[1][name] == pytest.approx(gap.sum() / padded, rel=1e-4)


def test_without_several_gpus_a_model_is_trained_on_one_device():
    if len(tf.config.list_logical_devices("GPU")) > 1:
        pytest.skip("this machine has several GPUs")
    assert strategies.strategy(Config()).num_replicas_in_sync == 1
    device = strategies.device(Config())
    assert device == "CPU" or device.startswith("1 x ")


def test_several_devices_that_there_are_not_are_one_sentence():
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus > 1:
        pytest.skip("this machine has several GPUs")
    with pytest.raises(UserError, match=f"needs several GPUs, but this machine has {gpus}"):
        strategies.strategy(Config(strategy="mirrored"))
    # TensorFlow has begun with fewer CPUs.
    with pytest.raises(UserError, match="--devices must be"):
        strategies.strategy(Config(devices=64))
