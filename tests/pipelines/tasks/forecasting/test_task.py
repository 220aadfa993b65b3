"""The forecasting task: any recurrent cell forecasts, and the signature responds as the network."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.baselines import Baseline
from pipelines.errors import UserError
from pipelines.evaluation import predict, scores_of
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Network
from pipelines.tasks.forecasting.metrics import pinball
from pipelines.tasks.forecasting.task import Forecasting
from pipelines.testing import CHECKS, Trained, train
from pipelines.training import trainer
from pipelines.training.batching import evaluation_batches
from tests.pipelines.tasks.forecasting.examples import config, months, noise, series, windows

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
    return trainer.build(TASK, data)


@pytest.fixture(scope="module")
def baselines(data) -> list[Baseline]:
    return TASK.baselines(data)


@pytest.mark.parametrize("architecture", CELLS)
def test_each_cell_becomes_a_forecaster(architecture, data):
    network = Forecasting(config(architecture)).network(data).model
    assert network.input_shape == (None, 8)
    assert network.output_shape == (None, 3, 5)
    history = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    before = network(history).numpy()
    # It reads the first step as well as the last.
    for step in (0, -1):
        changed = history.copy()
        changed[:, step] += 5
        assert np.any(network(changed).numpy() != before)


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


@pytest.mark.parametrize("scaling", ["series", "window"])
def test_the_loss_is_that_of_the_series_unit_over_its_scale(scaling):
    """And so the same in thousandths, on top of a billion, and for each of several series."""
    losses = []
    for values in (noise(), 1000 * noise(), 1e9 + noise()):
        data = series(values, scaling=scaling)
        model = trainer.build(TASK, data).model
        batches = evaluation_batches(TASK, data.train, 16)
        losses.append(model.evaluate(batches, verbose=0))
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-4)
    train = replace(data, test=data.train, columns={"test": data.raw("train")})
    found = predict(TASK, model, train, "test").predicted["quantiles"]
    target, scale = data.futures("train"), data.series[0].scale(4)
    by_hand = pinball(target / scale, found / scale).numpy().mean()
    assert losses[2] == pytest.approx(by_hand, rel=1e-4)


@pytest.fixture(scope="module")
def offset(tmp_path_factory) -> Path:
    """Days that swing by 3 with the week, on top of a billion."""
    step = np.arange(200)
    swing = 10 + 3 * np.sin(2 * np.pi * step / 7) + np.random.default_rng(0).normal(size=200)
    path = tmp_path_factory.mktemp("offset") / "offset.csv"
    lines = [
        f"{np.datetime64('2021-01-01') + day},{1e9 + value:.3f}"
        for day, value in zip(step, swing, strict=True)
    ]
    path.write_text("\n".join(["day,units", *lines]))
    return path


@pytest.fixture(scope="module", params=["series", pytest.param("window", marks=pytest.mark.slow)])
def trained(request, offset) -> Trained:
    """A network that learned such a series, in each way of standardizing it."""
    recipe = Recipe(epochs=3, batch_size=16, optimizer=Optimizer(learning_rate=0.02))
    own = replace(config(scaling=request.param), dataset=str(offset), recipe=recipe)
    own = replace(own, history=14, horizon=7, season=7)
    return train(Forecasting(own))


def test_a_swing_on_top_of_a_billion_is_forecast(trained):
    mase = scores_of(trained.task, trained.test, trained.data)["mase"]
    for baseline in trained.baselines:
        assert baseline.test["mase"] / 3 < mase < 3 * baseline.test["mase"]
    assert np.abs(trained.test.examples["target"] - 1e9 - 10).max() < 10
    assert trained.test.predicted["quantiles"].dtype == np.float64
    assert np.ptp(trained.test.predicted["forecast"]) > 0.1


@pytest.mark.parametrize("check", CHECKS)
def test_the_task_passes_the_kit(check, trained, tmp_path, at_once):
    check(trained, tmp_path)


def test_the_signature_answers_as_it_expects(network, data):
    (signature,) = TASK.signatures(network, data)
    assert signature.name == "serving_default"
    assert signature.inputs["history"].dtype == tf.float64
    answers = signature.function(tf.constant(signature.examples["history"]))
    assert answers.keys() == signature.expected.keys()
    windows = data.sizes["test"]
    shapes = {"forecast": (windows, 3), "quantiles": (windows, 3, 5), "levels": (windows, 5)}
    for key, expected in signature.expected.items():
        assert expected.shape == shapes[key]
        np.testing.assert_allclose(answers[key], expected, rtol=1e-5, atol=1e-5)


def test_the_tolerances_of_the_signature_are_those_of_the_swing(trained):
    """A thousandth of what the network forecasts is an error, at whatever level."""
    (signature,) = trained.task.signatures(trained.network, trained.data)
    allowed = signature.absolute + signature.relative * 1e9
    assert allowed < 0.02
    before = signature.expected["forecast"]
    after = signature.function(tf.constant(signature.examples["history"]))["forecast"]
    np.testing.assert_allclose(after, before, rtol=0, atol=allowed)


@pytest.mark.parametrize("shape", [(8,), (2, 7), (2, 9), (2, 8, 1)])
def test_histories_of_another_shape_are_refused(network, data, shape):
    (signature,) = TASK.signatures(network, data)
    graph = tf.function(signature.function, input_signature=[tf.TensorSpec(None, tf.float64)])
    assert graph(tf.zeros([2, 8], tf.float64))["forecast"].shape == (2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.zeros(shape, tf.float64))


def test_the_baselines_are_scored_on_both_splits(data, baselines):
    by_name = {baseline.name: baseline for baseline in baselines}
    assert list(by_name) == [
        *("seasonal naive", "seasonal mean", "exponential smoothing", "linear autoregression")
    ]
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
    assert len(lines["history"]) == 8 + 1
    np.testing.assert_allclose(lines["median"], predictions.predicted["forecast"][0], rtol=1e-5)
    np.testing.assert_allclose(lines["truth"], data.futures("test")[0], rtol=1e-5)


def test_the_example_is_the_last_window(data):
    ((name, content),) = TASK.examples(data).items()
    assert name == "window.json"
    assert b"\n" not in content  # A line is a request of `query --json`.
    window = json.loads(content)
    np.testing.assert_allclose(window["history"], data.series[0].values[-11:-3], rtol=1e-6)
    np.testing.assert_allclose(window["future"], data.series[0].values[-3:], rtol=1e-6)
    assert window["future_times"] == ["2009-10", "2009-11", "2009-12"]


def test_several_series_are_learned_by_one_network_and_shown():
    data = windows(months(noise(), "one"), months(1e6 * noise(90, seed=1), "other"))
    network = trainer.build(TASK, data)
    test = predict(TASK, network.model, data, "test")
    figures = dict(TASK.figures(network, data, test, TASK.baselines(data)))
    assert [axes.get_title("left") for axes in figures["one_step_ahead"].axes] == ["one", "other"]
    fans = figures["fans"].axes
    assert {axes.get_title("left") for axes in fans} == {"one", "other"}
    firsts = np.linspace(0, len(test) - 1, 6).astype(int)
    for axes, window in zip(fans, firsts, strict=True):
        lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
        np.testing.assert_allclose(lines["truth"], test.examples["target"][window])
        np.testing.assert_allclose(lines["median"], test.predicted["forecast"][window])
    # Each is scored over its own scale: a network that knows nothing is bad at both alike.
    errors = np.abs(test.examples["target"] - test.predicted["forecast"]).mean(1)
    ratio = errors / test.examples["scale"]
    own = test.examples["scale"] < 1e3
    assert 0.2 < ratio[own].mean() / ratio[~own].mean() < 5
    window = json.loads(TASK.examples(data)["window.json"])
    np.testing.assert_array_equal(window["future"], data.series[1].values[-3:])


def augmented(history: np.ndarray, future: np.ndarray, key: int = 1, **options: Any) -> list:
    change = Forecasting(replace(config(), **options)).augment(series())
    assert change
    seeds = tf.constant([[key, row] for row in range(len(history))])
    return [x.numpy() for x in change(tf.constant(history), tf.constant(future), seeds)]


def test_histories_are_jittered_and_scaled_with_their_futures():
    random = np.random.default_rng(0)
    history, future = (random.normal(size=(500, n)).astype(np.float32) for n in (8, 3))
    assert Forecasting(config()).augment(series()) is None
    noisy, same = augmented(history, future, jitter=0.2)
    np.testing.assert_array_equal(same, future)
    assert (noisy - history).std() == pytest.approx(0.2, rel=0.05)
    scaled, targets = augmented(history, future, random_scaling=0.1)
    factors = (scaled / history)[:, :1]
    np.testing.assert_allclose(scaled, history * factors, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(targets, future * factors, rtol=1e-4, atol=1e-6)
    assert factors.mean() == pytest.approx(1, abs=0.02)
    assert factors.std() == pytest.approx(0.1, rel=0.1)
    both, _ = augmented(history, future, jitter=0.2, random_scaling=0.1)
    np.testing.assert_allclose(both - scaled, noisy - history, atol=1e-5)
    other, _ = augmented(history, future, key=2, jitter=0.2)
    assert np.any(other != noisy)
