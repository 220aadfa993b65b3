"""Examples in memory: their batches are those of tf.data, and every one is in one of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets.columns import ragged_examples
from pipelines.datasets.in_memory import of
from pipelines.training import in_memory

LENGTHS = (3, 0, 5, 1)


@pytest.fixture(scope="module")
def examples() -> tf.data.Dataset:
    """Inputs of two parts, one of them text, and a target of one shape."""

    def example(number: tf.Tensor) -> tuple:
        length = tf.gather(tf.constant(LENGTHS), number)
        words = tf.strings.as_string(tf.range(length))
        vectors = tf.ones([length, 2]) * tf.cast(number + 1, tf.float32)
        words.set_shape([None])
        vectors.set_shape([None, 2])
        return {"words": words, "vectors": vectors}, number

    return tf.data.Dataset.range(len(LENGTHS)).map(example)


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3], [2, 2], [1], [3, 0]])
def test_a_batch_is_padded_like_one_of_tf_data(examples, numbers):
    found = in_memory.read(examples).batch(tf.constant(numbers, tf.int64))
    chosen = [list(examples)[number] for number in numbers]
    dataset = tf.data.Dataset.from_generator(lambda: chosen, output_signature=examples.element_spec)
    (expected,) = dataset.padded_batch(len(numbers))
    assert tf.nest.map_structure(lambda x: x.dtype, found) == tf.nest.map_structure(
        lambda x: x.dtype, expected
    )
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def test_ragged_examples_are_gathered_as_they_are_read():
    ids = tf.ragged.constant([[1, 2, 3], [], [4]], dtype=tf.int32)
    parts = {"token_ids": ids, "padding_mask": tf.ones_like(ids)}, np.array([5, 6, 7])
    arrays, read = of(*parts), in_memory.read(ragged_examples(*parts))
    assert arrays.lengths is not None
    assert arrays.lengths.tolist() == [3, 0, 1]
    for numbers in ([0, 1, 2], [2], [2, 0]):
        one, other = (each.batch(tf.constant(numbers, tf.int64)) for each in (arrays, read))
        for found, expected in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_only_first_dimensions_may_vary(examples):
    assert in_memory.fits(examples)
    pictures = tf.data.Dataset.from_generator(
        lambda: iter(()), output_signature=tf.TensorSpec([8, None], tf.float32)
    )
    assert not in_memory.fits(pictures)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 2**31)
)
def test_every_example_is_in_one_batch_of_its_bucket(buckets, batch_size, seed):
    def draw(number: int) -> list[list[int]]:
        key = tf.constant([seed, number], tf.int64)
        rows = in_memory.shuffled(np.array(buckets), batch_size, key).as_numpy_iterator()
        return [row.tolist() for row in rows]

    batches = draw(0)
    assert sorted(number for batch in batches for number in batch) == list(range(len(buckets)))
    assert all(len({buckets[index] for index in batch}) == 1 for batch in batches)
    assert draw(0) == batches
    short = [len(batch) < batch_size for batch in batches]
    assert short == sorted(short), "short batches come last"
    counts = Counter(buckets)
    assert len(batches) == sum(-(-count // batch_size) for count in counts.values())


def test_epochs_have_orders_of_their_own():
    one, other = (
        [
            row.tolist()
            for row in in_memory.shuffled(
                np.zeros(50, np.int64), 8, tf.constant([1, number])
            ).as_numpy_iterator()
        ]
        for number in (0, 1)
    )
    assert one != other
    assert [len(batch) for batch in one] == [8] * 6 + [2]
