"""Standardization: in float64, the same of arrays and tensors, and without unit and level."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tasks.forecasting.scaling import by_series, by_window, restored, standardized
from pipelines.tasks.forecasting.series import Series
from tests.pipelines.tasks.forecasting.examples import months, noise

FACTORS = st.sampled_from([1.0, -3.0, 1e-12, 1e-7, 1e6])
OFFSETS = st.floats(-1e9, 1e9)


@given(factor=FACTORS, offset=OFFSETS, kind=st.sampled_from(["series", "window"]))
def test_what_the_network_reads_has_no_unit_and_no_level(factor, offset, kind):
    """Up to the digits of float64: of a swing of 1e-12 nothing is left beside a billion."""
    offset *= min(1.0, abs(factor) * 1e3)
    read, moved = (
        in_standard_units(months(values), kind) for values in (noise(), noise() * factor + offset)
    )
    np.testing.assert_allclose(moved[0], np.sign(factor) * read[0], atol=1e-3)
    np.testing.assert_allclose(moved[1], read[1], rtol=1e-3)


def in_standard_units(series: Series, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Windows of train, and their deviations over the scale, which weigh the loss."""
    scale = series.scale(4)
    scaling = by_series(series.known()) if kind == "series" else by_window(scale)
    windows = series.windows(np.arange(70), 8)
    level, deviation = scaling.of(windows, np)
    return standardized(windows, level, deviation), deviation / scale


@pytest.mark.parametrize("scaling", [by_series(noise()), by_window(2.0)])
def test_arrays_and_tensors_are_standardized_the_same_and_come_back(scaling):
    histories = np.stack([noise(8), 1e9 + noise(8, seed=1), np.full(8, 1e9)])
    level, deviation = scaling.of(histories, np)
    known = standardized(histories, level, deviation)
    tensors = scaling.of(tf.constant(histories), tnp)
    for one, other in zip((level, deviation), tensors, strict=True):
        assert one.dtype == other.numpy().dtype == np.float64
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-12)
    again = restored(known[..., None], level, deviation)[..., 0]
    np.testing.assert_allclose(again, histories, rtol=1e-12)


def test_by_series_nothing_depends_on_what_train_did_not_hold():
    later = noise()
    later[84:] += 100
    assert by_series(months(later).known()) == by_series(months(noise()).known())
    assert by_series(months(noise()).known()).level == pytest.approx(noise()[:84].mean())


def test_by_window_each_history_has_its_own_and_a_constant_one_the_least():
    histories = np.array([[1.0, 3.0], [1e9, 1e9 + 6], [7.0, 7.0]])
    level, deviation = by_window(2.0).of(histories, np)
    np.testing.assert_array_equal(level, [2, 1e9 + 3, 7])
    np.testing.assert_array_equal(deviation, [1, 3, 2e-3])
