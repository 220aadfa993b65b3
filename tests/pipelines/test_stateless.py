"""Random numbers of examples: uniform, apart from each other, and the same in any batch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines import stateless

SEEDS = tf.constant([[key, row] for key in (-5, 0, 77) for row in range(400)])
MASK = 2**64 - 1


def splitmix(state: int) -> int:
    """The hash of SplitMix64, in Python's integers."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
    return state ^ (state >> 31)


def test_numbers_are_those_of_the_published_generator():
    """From the state 0, the first ones are e220a8397b1dcdaf and 6e789e6aa1b965f4."""
    gamma = 0x9E3779B97F4A7C15
    assert [hex(splitmix(gamma * k & MASK)) for k in (1, 2)] == [
        *("0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4")
    ]
    state = splitmix(3 + (9 << 32))
    expected = [(splitmix(state + gamma * k & MASK) >> 40) / 2**24 for k in range(1, 7)]
    found = stateless.uniform(tf.constant([[3, 9]]), [2, 3]).numpy()
    np.testing.assert_array_equal(found.ravel(), expected)


def test_numbers_are_uniform_and_independent():
    drawn = stateless.uniform(SEEDS, [50]).numpy()
    assert drawn.shape == (1200, 50)
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() < drawn.max() < 1
    counts = np.histogram(drawn, 20, (0, 1))[0] / drawn.size * 20
    np.testing.assert_allclose(counts, 1, atol=0.06)
    others = {
        "the next example": np.roll(drawn, 1, 0),
        "the next number": np.roll(drawn, 1, 1),
        "another purpose": stateless.uniform(stateless.stream(SEEDS, 1), [50]).numpy(),
    }
    for name, other in others.items():
        assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.02, name


def test_normal_numbers_have_mean_0_and_deviation_1():
    drawn = stateless.normal(SEEDS, [50]).numpy()
    assert np.isfinite(drawn).all()
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert drawn.std() == pytest.approx(1, abs=0.02)
    assert (np.abs(drawn) < 1.96).mean() == pytest.approx(0.95, abs=0.01)
    assert stateless.normal(SEEDS[:3]).shape == (3,)


def test_a_row_depends_on_its_seed_alone():
    drawn = stateless.uniform(SEEDS, [9]).numpy()
    part = stateless.uniform(SEEDS[30:40], tf.constant([4])).numpy()
    np.testing.assert_array_equal(part, drawn[30:40, :4])


def test_seeds_differ_between_runs_epochs_and_examples():
    found = {
        tuple(pair)
        for run in (0, 1, 2**31 - 1)
        for epoch in (0, 1, 500)
        for pair in stateless.epoch_seeds(run, epoch, tf.range(20, dtype=tf.int64)).numpy().tolist()
    }
    assert len(found) == 3 * 3 * 20
