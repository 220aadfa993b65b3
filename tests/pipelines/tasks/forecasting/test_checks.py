"""Series that cannot be forecast are told apart from those that can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.tasks.forecasting.checks import fit, problem
from tests.pipelines.tasks.forecasting.examples import config, months, noise

SKIPPING = replace(config(), skip_bad=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full(120, 7.0), "is constant: every value is 7; there is nothing to learn"),
        (np.r_[np.full(90, 7.0), noise(30)], "is constant in train: every value is 7"),
        (np.tile([1.0, 5.0, 2.0, 8.0], 30), "repeats itself exactly every 4 steps"),
        (noise(40), "is too short: of its 40 steps train has 28, validation 6, test 6"),
        (1e9 + 1e-6 * noise(), "differ in the last digits of a float64 alone"),
        (1e200 * noise(), "which are too extreme; change their unit"),
        (1e-200 * noise(), "which are too extreme; change their unit"),
    ],
)
def test_a_series_that_cannot_be_forecast_is_told_why(values, message):
    assert message in problem(months(values), season=4, history=24, horizon=7)


@pytest.mark.parametrize("factor", [1e-12, -1.0, 1e100])
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_units_and_levels_are_no_problem(factor, offset):
    values = noise() * factor + (offset if abs(factor) == 1 else 0)
    assert not problem(months(values), season=4, history=8, horizon=3)


def test_bad_ones_among_many_are_named_counted_and_left_out_if_told_so():
    many = [months(noise(), "good"), months(noise(9), "a"), months(np.zeros(100), "b")]
    with pytest.raises(UserError, match=r"FILE, series 'a', is too short: .* 1 more of the 3"):
        fit(many, "FILE", 4, config())
    kept, (note,), left_out = fit(many, "FILE", 4, SKIPPING)
    assert [one.name for one in kept] == ["good"]
    assert note.startswith("2 of 3 series are left out: FILE, series 'a', is too short")
    assert left_out == {"train": 76, "validation": 17, "test": 16}
    with pytest.raises(UserError, match="has no series that can be used: FILE, series 'a'"):
        fit(many[1:], "FILE", 4, SKIPPING)
    with pytest.raises(UserError, match="FILE is too short"):
        fit([months(noise(9))], "FILE", 4, SKIPPING)
