"""Figures of forecasts: each line shows its numbers, over dates and over numbers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipelines.tasks.forecasting import figures as series_figures
from pipelines.tasks.forecasting.figures import Fan, Line

LEVELS = (0.1, 0.5, 0.9)


def rendered(figure: Figure) -> Figure:
    """Renders it as MLflow does, which is where layouts fail."""
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def lines(axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}


def fan(times: np.ndarray, start: float, name: str = "") -> Fan:
    quantiles = start + np.array([[0.0, 1.0, 3.0], [0.0, 2.0, 5.0]])
    return Fan(
        name, times[:3], np.full(3, start), times[3:], np.full(2, 7.0), quantiles, np.zeros(2)
    )


@pytest.mark.parametrize("times", [np.arange(5), np.datetime64("1700-01", "Y") + np.arange(5)])
@pytest.mark.parametrize("count", [1, 4])
def test_fans_show_each_forecast_in_a_panel(times, count):
    charts = [fan(times, float(index)) for index in range(count)]
    figure = rendered(series_figures.fans(charts, LEVELS, other="naive", title="Fans"))
    assert figure.get_suptitle() == "Fans"
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == count
    for chart, axes in zip(charts, panels, strict=True):
        found = lines(axes)
        assert set(found) == {"history", "median", "truth", "naive"}
        # Without a gap to the truth.
        np.testing.assert_array_equal(found["history"], [*chart.past, chart.truth[0]])
        np.testing.assert_array_equal(found["median"], chart.quantiles[:, 1])
        np.testing.assert_array_equal(found["truth"], chart.truth)
        np.testing.assert_array_equal(found["naive"], chart.other)
        (band,) = axes.collections
        assert band.get_label() == "80 % interval"
        ys = np.asarray(band.get_paths()[0].vertices)[:, 1]
        assert (ys.min(), ys.max()) == (chart.quantiles.min(), chart.quantiles.max())


def test_fans_of_several_series_have_their_names_and_axes_of_their_own():
    charts = [fan(np.arange(5), 0.0, "north"), fan(np.arange(5), 1e6, "south")]
    figure = rendered(series_figures.fans(charts, LEVELS, other="naive", title="Fans"))
    north, south = (axes for axes in figure.axes if axes.axison)
    assert [north.get_title("left"), south.get_title("left")] == ["north", "south"]
    assert north.get_ylim()[1] < 100


@pytest.mark.parametrize("count", [1, 3])
def test_lines_show_truth_median_and_bands(count):
    quantiles = np.arange(12.0).reshape(4, 3)
    charts = [Line(f"line {i}", np.arange(4), np.full(4, i), quantiles) for i in range(count)]
    figure = rendered(series_figures.forecast_lines(charts, LEVELS, title="Steps", unit="°C"))
    assert figure.get_suptitle() == "Steps"
    for index, axes in enumerate(figure.axes):
        assert axes.get_title("left") == f"line {index}"
        assert axes.get_ylabel() == "°C"
        np.testing.assert_array_equal(lines(axes)["median"], quantiles[:, 1])
        np.testing.assert_array_equal(lines(axes)["truth"], np.full(4, index))
    assert len(figure.axes) == count


@pytest.mark.parametrize("steps", [1, 6])
def test_errors_start_at_the_first_step_and_at_zero(steps):
    errors = {"network": np.full(steps, 2.0), "naive": np.full(steps, 3.0)}
    figure = rendered(series_figures.error_by_step(errors, y_label="MASE", title="Error"))
    (axes,) = figure.axes
    assert (axes.get_ylabel(), axes.get_ylim()[0]) == ("MASE", 0)
    for line, (name, values) in zip(axes.lines, errors.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xdata(), range(1, steps + 1))
        np.testing.assert_array_equal(line.get_ydata(), values)


def test_calibration_shows_fractions_over_levels():
    fractions = {"network": np.array([0.2, 0.5, 0.8]), "naive": np.array([0.0, 0.4, 1.0])}
    figure = rendered(series_figures.calibration(fractions, LEVELS, title="Quantiles"))
    found = lines(figure.axes[0])
    assert list(found) == ["perfectly calibrated", "network", "naive"]
    for name, values in fractions.items():
        np.testing.assert_array_equal(found[name], values)
