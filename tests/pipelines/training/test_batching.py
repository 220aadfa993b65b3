"""Batches: repeatable by their seed, complete, and padded to the longest of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipelines.image.config import Augmentation
from pipelines.recipe import Recipe
from pipelines.tasks.image_classification.data import LabeledImages
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.training import batching
from tests.pipelines import samples

RECIPE = Recipe(epochs=2, batch_size=16, seed=3)
ALL = Augmentation(shift=0.2, rotation=0.1, zoom=0.1, flip=True)


def classification(seed: int = 3, augmentation: Augmentation = samples.NO_AUGMENTATION):
    return ImageClassification(samples.config(replace(RECIPE, seed=seed), augmentation))


def epochs(batches: tf.data.Dataset, steps: int = 4) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the inputs and targets of each epoch as whole arrays."""
    iterator = batches.as_numpy_iterator()
    while part := list(itertools.islice(iterator, steps)):
        inputs, targets = zip(*part, strict=True)
        yield np.concatenate(inputs), np.concatenate(targets)


def assert_equal(one: Iterable, other: Iterable) -> None:
    """Checks that batches are the same, one by one."""
    for first, second in itertools.zip_longest(one, other):
        for x, y in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("augmentation", [Augmentation(), ALL])
def test_batches_repeat_for_the_same_seed_whatever_tensorflow_s_is(augmentation):
    data = samples.striped()
    found = []
    for number, seed in enumerate((3, 3, 99)):
        tf.random.set_seed(number)
        batches = batching.training_batches(classification(seed, augmentation), data)
        found.append(list(epochs(batches)))
    assert [len(one) for one in found] == [2, 2, 2]
    for (first, labels), (second, names), (third, _) in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(labels, names)
        assert np.any(first != third)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_no_batches_are_tuned_by_a_thread_that_their_end_would_wait_for(split):
    task, data = classification(), samples.striped()
    ours = {
        "train": lambda: batching.training_batches(task, data),
        "validation": lambda: batching.evaluation_batches(task, data.validation, 4),
    }
    for elements in (data.split(split), ours[split]()):
        assert elements.options().autotune.enabled is False


def test_the_seed_decides_how_an_image_is_augmented():
    data = samples.striped()
    lone = replace(data, train=data.train.take(1), sizes={**data.sizes, "train": 1})
    augmentation = Augmentation(shift=0.3, rotation=0.2)
    one, same, other = (
        list(epochs(batching.training_batches(classification(seed, augmentation), lone), 1))
        for seed in (3, 3, 99)
    )
    assert_equal(one, same)
    assert np.any(one[0][0] != other[0][0])
    assert np.any(one[0][0] != one[1][0]), "it is changed in another way in each epoch"


def test_each_epoch_has_every_training_example_once_in_another_order():
    data = samples.striped()
    batches = batching.training_batches(classification(), data)
    assert [len(targets) for _, targets in batches] == [16, 16, 16, 2] * 2
    assert batching.steps_per_epoch(data, 16) == 4
    (first, _), (second, _) = epochs(batches)
    images, _ = next(data.train.batch(100).as_numpy_iterator())
    whole = sorted((images / np.float32(255)).reshape(50, -1).tolist())
    assert sorted(first.reshape(50, -1).tolist()) == whole
    assert sorted(second.reshape(50, -1).tolist()) == whole
    assert np.any(first != second)


@pytest.mark.parametrize(("epoch", "step", "cached"), [(0, 3, True), (1, 1, False), (2, 5, True)])
def test_batches_from_any_position_are_those_of_an_uninterrupted_run(epoch, step, cached):
    recipe = replace(RECIPE, epochs=3)
    task, data = ImageClassification(samples.config(recipe, ALL)), samples.striped()
    data = replace(data, example_bytes=0 if cached else None)
    whole = list(batching.training_batches(task, data))
    rest = batching.training_batches(task, data, epoch=epoch, step=step)
    assert int(rest.cardinality()) == max(12 - 4 * epoch - step, 0)
    assert_equal(rest, whole[4 * epoch + step :])


@pytest.mark.parametrize(("epoch", "step"), [(0, 5), (1, 0), (1, 3)])
def test_batches_of_sequences_from_any_position_are_those_of_an_uninterrupted_run(epoch, step):
    whole = list(sequence_batches(2))
    steps = len(whole) // 2
    task = samples.Doubles(samples.sequence_config(Recipe(epochs=2, batch_size=2)))
    data = samples.sequences(train=LENGTHS)
    rest = batching.training_batches(task, data, epoch=epoch, step=step)
    assert_equal(rest, whole[epoch * steps + step :])


class Recorder(ImageClassification):
    """Targets are the labels of examples, which are their numbers here, with their seeds."""

    def augment(self, data):
        return lambda images, labels, seeds: (images, (labels, seeds))


def seeds_of_examples(recipe: Recipe, epoch: int) -> dict[int, tuple[int, ...]]:
    data = samples.striped()
    numbered = tf.data.Dataset.zip((data.train.map(lambda x, y: x), tf.data.Dataset.range(50)))
    task = Recorder(samples.config(recipe))
    steps = batching.steps_per_epoch(data, recipe.batch_size)
    batches = batching.training_batches(task, replace(data, train=numbered), epoch=epoch)
    return {
        int(label): tuple(seed)
        for _, (labels, seeds) in batches.take(steps).as_numpy_iterator()
        for label, seed in zip(labels, seeds.tolist(), strict=True)
    }


@settings(max_examples=3, phases=[Phase.generate])
@given(st.integers(0, 2**31 - 1), st.integers(0, 50), st.integers(1, 60))
def test_the_seeds_of_an_example_follow_from_its_place_and_the_epoch_alone(seed, epoch, batch_size):
    recipe = Recipe(epochs=60, seed=seed, batch_size=16)
    expected = seeds_of_examples(recipe, epoch)
    assert len(set(expected.values())) == 50
    assert seeds_of_examples(replace(recipe, batch_size=batch_size), epoch) == expected
    other = seeds_of_examples(recipe, epoch + 1)
    assert not set(other.values()) & set(expected.values())


class Relabeling(ImageClassification):
    """Augments images and labels together."""

    def augment(self, data):
        return lambda images, labels, seeds: (images + 10.0, labels + 100)


def test_augmentation_can_change_inputs_and_targets_of_training_only():
    """It follows preprocessing, whose largest value is 1; validation stays as it is."""
    data, task = samples.striped(), Relabeling(samples.config(RECIPE))
    for images, labels in batching.training_batches(task, data):
        assert np.all(images >= 10.0)
        assert np.all(images <= 11.0)
        assert set(labels.numpy()) <= {100, 101, 102}
    for images, labels in batching.evaluation_batches(task, data.validation, 7):
        assert np.all(images <= 1.0)
        assert set(labels.numpy()) <= {0, 1, 2}


class Drawn(LabeledImages):
    """Draws other labels in every epoch."""

    def epoch(self, number):
        return self.train.map(lambda image, label: (image, label + 100 * number))


def test_a_data_set_may_draw_other_examples_for_each_epoch():
    data = samples.striped()
    drawn = Drawn(**{field.name: getattr(data, field.name) for field in fields(data)})
    drawn = replace(drawn, example_bytes=None)
    for start in (0, 1):
        batches = batching.training_batches(classification(), drawn, epoch=start)
        found = [set(labels.tolist()) for _, labels in epochs(batches)]
        assert found == [{100 * number + label for label in range(3)} for number in range(start, 2)]


# Short and long ones, two at a bucket's edge and one beyond the last.
LENGTHS = (3, 7, 8, 11, 12, 1, 600, 5, 513, 40, 47, 2, 7, 30, 9, 45, 4, 6)


def sequence_batches(
    batch_size: int, lengths: Sequence[int] = LENGTHS, seed: int = 0, streamed: bool = False
) -> tf.data.Dataset:
    recipe = Recipe(epochs=2, batch_size=batch_size, seed=seed)
    task = samples.Doubles(samples.sequence_config(recipe))
    data = samples.sequences(train=lengths)
    return batching.training_batches(task, replace(data, example_bytes=None if streamed else 0))


def members(inputs: tf.Tensor) -> list[int]:
    """Returns the indices of the examples in a batch; the numbers start with them."""
    return [round(float(row[0, 0])) - 1 for row in inputs]


@pytest.mark.parametrize(
    ("batch_size", "streamed"), [(1, False), (3, False), (100, False), (3, True)]
)
def test_sequences_are_padded_only_to_the_longest_of_a_batch(batch_size, streamed):
    edges = [0, *batching._BUCKETS, 1000]
    seen = []
    for inputs, target, weight in sequence_batches(batch_size, streamed=streamed):
        lengths = [LENGTHS[member] for member in members(inputs)]
        assert len(lengths) <= batch_size
        assert inputs.shape == target.shape == (*weight.shape, 1) == (len(lengths), max(lengths), 1)
        assert weight.numpy().tolist() == [
            [1.0] * length + [0.0] * (max(lengths) - length) for length in lengths
        ]
        for row, goal, member, length in zip(inputs, target, members(inputs), lengths, strict=True):
            numbers = member + 1 + np.arange(length) / 1000
            np.testing.assert_allclose(row[:length, 0], numbers, rtol=1e-5)
            np.testing.assert_allclose(goal[:length, 0], 2 * numbers, rtol=1e-5)
            assert not np.any(row[length:])
            assert not np.any(goal[length:])
        # All are between the same two edges.
        assert len({int(np.searchsorted(edges, length, side="right")) for length in lengths}) == 1
        seen += members(inputs)
    whole = list(range(len(LENGTHS)))
    assert sorted(seen[: len(whole)]) == sorted(seen[len(whole) :]) == whole


@pytest.mark.parametrize("streamed", [False, True])
def test_xla_sees_one_length_for_each_bucket(streamed):
    """Boundaries are rounded down to the longest example, which networks have room for."""
    recipe = Recipe(epochs=2, batch_size=2, jit_compile="true")
    task = samples.Doubles(samples.sequence_config(recipe))
    data = replace(samples.sequences(train=LENGTHS), example_bytes=None if streamed else 0)
    seen = set()
    for inputs, target, weight in batching.training_batches(task, data):
        lengths = [LENGTHS[member] for member in members(inputs)]
        assert inputs.shape[:2] == target.shape[:2] == weight.shape
        assert weight.numpy().sum(1).tolist() == lengths
        seen.add(inputs.shape[1])
    assert len(seen) == len(batching.buckets(np.array(LENGTHS)))
    assert seen <= {*batching._BUCKETS, max(LENGTHS)}
    assert max(seen) == max(LENGTHS)
    pad = batching.padding(task, data)
    validation = batching.evaluation_batches(task, data.validation, 4, pad)
    assert [weight.shape[1] for *_, weight in validation] == [8, 12]


def test_each_part_is_padded_to_its_own_longest_at_most():
    task = Unscaled(samples.sequence_config(Recipe(epochs=1, batch_size=3, jit_compile="true")))
    data = samples.sequences(train=LENGTHS)
    several = data.train.map(lambda x, y, weight: ({"short": x[:5], "long": x}, y[0, 0]))
    for inputs, target in batching.training_batches(task, replace(data, train=several)):
        assert inputs["short"].shape[1] == 5
        assert target.shape.rank == 1


def test_batches_of_sequences_repeat_for_the_same_seed():
    def order(batches: tf.data.Dataset) -> list[list[int]]:
        return [members(inputs) for inputs, *_ in batches]

    one, same, other = (order(sequence_batches(2, seed=seed)) for seed in (3, 3, 99))
    assert one == same != other
    steps = len(one) // 2
    assert one[:steps] != one[steps:], "every epoch has an order of its own"


class Unscaled(samples.Doubles):
    def preprocess(self, inputs):
        return inputs


def test_the_longest_part_of_an_example_decides_its_bucket():
    """Inputs may be several, and targets shorter than they, or single numbers."""
    data = samples.sequences(train=LENGTHS)
    task = Unscaled(samples.sequence_config(Recipe(epochs=1, batch_size=3)))
    several = data.train.map(lambda x, y, weight: ({"short": x[:1], "long": x}, y[0, 0]))
    found = []
    for inputs, target in batching.training_batches(task, replace(data, train=several)):
        lengths = np.count_nonzero(inputs["long"], axis=1)
        assert inputs["long"].shape[1] == max(lengths)
        assert inputs["short"].shape[1] == 1
        assert len(set(np.searchsorted(batching._BUCKETS, lengths, side="right"))) == 1
        np.testing.assert_allclose(target, inputs["short"][:, 0] / 500, rtol=1e-6)
        found += lengths.tolist()
    assert sorted(found) == sorted(LENGTHS)


@settings(max_examples=5)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(1, 6))
def test_buckets_are_those_of_the_batches(lengths, batch_size):
    buckets = batching.buckets(np.array(lengths))
    assert sorted(np.concatenate(buckets)) == sorted(lengths)
    count = sum(-(-len(bucket) // batch_size) for bucket in buckets)
    assert len(list(sequence_batches(batch_size, lengths))) == 2 * count
    assert batching.steps_per_epoch(samples.sequences(train=lengths), batch_size) == count


@pytest.mark.parametrize(
    ("example_bytes", "limit", "passes"),
    [(64, 3200, 1), (64, 3199, 2), (0, 0, 1), (None, 3200, 2)],
    ids=["in arrays", "large", "in memory already", "other examples in every epoch"],
)
def test_training_splits_that_fit_into_arrays_are_read_once(
    example_bytes, limit, passes, monkeypatch
):
    monkeypatch.setattr(batching, "_ARRAY_BYTES", limit)
    read = tf.Variable(0)

    def counted(image, label):
        read.assign_add(1)
        return image, label

    data = samples.striped()
    data = replace(data, train=data.train.map(counted), example_bytes=example_bytes)
    assert len(list(batching.training_batches(classification(), data))) == 8
    assert int(read) == passes * data.sizes["train"]
