"""The forecasting task: any recurrent cell forecasts, and the signature responds as the network."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tensorflow as tf

from pipelines import training
from pipelines.baselines import Baseline
from pipelines.errors import UserError
from pipelines.evaluation import predict
from pipelines.task import Network
from pipelines.tasks.forecasting.task import Forecasting
from tests.pipelines.tasks.forecasting.examples import config, series

TASK = Forecasting(config())
CELLS = (
    *("simple_rnn", "lstm", "gru", "hornn", "tapped_delay_line", "attention_memory"),
    *("bilstm", "bigru"),
)


@pytest.fixture(scope="module")
def data():
    return series()


@pytest.fixture(scope="module")
def network(data) -> Network:
    return training.build(TASK, data)


@pytest.fixture(scope="module")
def baselines(data) -> list[Baseline]:
    return TASK.baselines(data)


@pytest.mark.parametrize("architecture", CELLS)
def test_each_cell_becomes_a_forecaster(architecture, data):
    network = Forecasting(config(architecture)).network(data).model
    assert network.input_shape == (None, 8)
    assert network.output_shape == (None, 3, 5)
    history = data.histories("test")[:2]
    before = network(history).numpy()
    # It reads the first step as well as the last.
    for step in (0, -1):
        changed = history.copy()
        changed[:, step] += 5
        assert np.any(network(changed).numpy() != before)


def test_the_scaling_is_a_choice(data):
    shifted = data.histories("test")[:2] + 100
    for scaling, same in (("series", False), ("window", True)):
        network = Forecasting(config(scaling=scaling)).network(data).model
        before, after = network(shifted - 100).numpy(), network(shifted).numpy()
        assert np.allclose(after - before, 100, atol=1e-3) == same


def test_hyperparameters_reach_the_builder(data):
    small, large = (Forecasting(config(units=[units])).network(data) for units in (4, 8))
    assert large.model.count_params() > small.model.count_params()


@pytest.mark.parametrize(
    ("architecture", "model", "message"),
    [
        ("convnet", {}, "convnet does not turn a sequence of numbers into one forecast"),
        ("gru", {"outputs": 3}, "--model.outputs cannot be chosen: it follows from the data set"),
        ("gru", {"output": "sequence"}, "gru does not turn a sequence of numbers into one"),
        ("gru", {"repeat": 3}, "gru does not turn a sequence of numbers into one forecast"),
        ("gru", {"unit": 3}, "gru has no hyperparameter 'unit'"),
        ("bilstm_imdb", {}, "give either vocabulary, to read tokens, or input_size"),
    ],
)
def test_a_network_that_does_not_forecast_is_the_users_mistake(data, architecture, model, message):
    with pytest.raises(UserError, match=message):
        Forecasting(config(architecture, **model)).network(data)


def test_the_loss_has_no_unit(data):
    """The same series in thousandths trains the same."""
    losses = []
    for unit in (1.0, 1000.0):
        scaled = series(data.values * unit)
        model = training.build(TASK, scaled).model
        losses.append(model.evaluate(scaled.histories("train"), scaled.futures("train"), verbose=0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] > 0


def test_the_signature_answers_as_it_expects(network, data):
    (signature,) = TASK.signatures(network, data)
    assert signature.name == "serving_default"
    answers = signature.function(tf.constant(signature.examples["history"]))
    assert answers.keys() == signature.expected.keys()
    windows = data.sizes["test"]
    shapes = {"forecast": (windows, 3), "quantiles": (windows, 3, 5), "levels": (windows, 5)}
    for key, expected in signature.expected.items():
        assert expected.shape == shapes[key]
        np.testing.assert_allclose(answers[key], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(8,), (2, 7), (2, 9), (2, 8, 1)])
def test_histories_of_another_shape_are_refused(network, data, shape):
    (signature,) = TASK.signatures(network, data)
    graph = tf.function(signature.function, input_signature=[tf.TensorSpec(None, tf.float32)])
    assert graph(tf.zeros([2, 8]))["forecast"].shape == (2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.zeros(shape))


def test_the_baselines_are_scored_on_both_splits(data, baselines):
    by_name = {baseline.name: baseline for baseline in baselines}
    assert list(by_name) == ["seasonal naive", "seasonal mean", "exponential smoothing"]
    naive = np.abs(data.futures("test") - data.histories("test")[:, [4, 5, 6]]).mean()
    assert by_name["seasonal naive"].test["mae"] == pytest.approx(naive, rel=1e-5)
    for baseline in baselines:
        assert baseline.validation["mase"] != baseline.test["mase"]


def test_figures_show_forecasts_beside_the_strongest_baseline(network, data, baselines):
    predictions = predict(TASK, network.model, data, "test")
    figures = dict(TASK.figures(network, data, predictions, baselines))
    assert list(figures) == ["fans", "one_step_ahead", "error_by_step", "calibration"]
    for figure in figures.values():
        figure.savefig(io.BytesIO(), format="png", dpi=40)
    panels = figures["fans"].axes
    assert len(panels) == 6
    lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in panels[0].lines}
    best = min(baselines, key=lambda baseline: baseline.validation["mase"])
    assert set(lines) == {"history", "median", "truth", best.name}
    assert len(lines["history"]) == 8
    np.testing.assert_allclose(lines["median"], predictions.predicted["forecast"][0], rtol=1e-5)
    np.testing.assert_allclose(lines["truth"], data.futures("test")[0], rtol=1e-5)


def test_the_example_is_the_last_window(data):
    ((name, content),) = TASK.examples(data).items()
    assert name == "window.json"
    window = json.loads(content)
    np.testing.assert_allclose(window["history"], data.values[-11:-3], rtol=1e-6)
    np.testing.assert_allclose(window["future"], data.values[-3:], rtol=1e-6)
    assert window["future_times"] == ["2009-10", "2009-11", "2009-12"]
