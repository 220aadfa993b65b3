"""Optimizers: weight decay, clipping, averaging, accumulation, learning rates of layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.config import Config
from pipelines.recipe import Optimizer
from pipelines.training import strategies
from pipelines.training.optimizers import optimizer
from tests.architectures.tiny import TINY


@pytest.mark.parametrize(("steps", "momentum"), [(100, 0.96), (10_000, 0.999), (3, 0.0)])
def test_an_average_spans_a_quarter_of_the_run_at_most(steps, momentum):
    assert optimizer(Optimizer(average=0.999), steps).ema_momentum == momentum


def stepped(
    config: Optimizer, names: list[str], gradient: float, factors: dict[str, float] | None = None
) -> dict[str, float]:
    """Returns variables that were 1 after one step with the same gradient each."""
    variables = {name: keras.Variable(np.ones(1, "float32"), name=name) for name in names}
    rates = [(variables[name], factor) for name, factor in (factors or {}).items()]
    own = optimizer(config, 100, rates=rates)
    own.apply([tf.constant([gradient]) for _ in names], list(variables.values()))
    return {name: float(v.numpy()[0]) for name, v in variables.items()}


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lamb", "lion", "rmsprop"])
def test_every_optimizer_moves_against_the_gradient_and_decays_kernels_alone(name):
    moved = Optimizer(name=name, learning_rate=0.1, weight_decay=0.0, warmup=0.0)
    assert 0 < stepped(moved, ["kernel"], gradient=0.5)["kernel"] < 1
    config = replace(moved, learning_rate=0.5, weight_decay=0.1)
    values = stepped(config, ["kernel", "bias", "gamma", "beta"], gradient=0.0)
    assert values.pop("kernel") == pytest.approx(0.95)
    assert values == {"bias": 1, "gamma": 1, "beta": 1}


def test_only_options_that_are_chosen_differ_from_keras_defaults():
    adam = optimizer(Optimizer(name="adam", beta_2=0.98), 9)
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.98, 1e-7)
    sgd = optimizer(Optimizer(name="sgd", momentum=0.9, nesterov=True), 9)
    assert (sgd.momentum, sgd.nesterov) == (0.9, True)


# All names of variables that stay as they are; any other is a kernel.
SPARED = {"bias", "gamma", "beta", "embeddings"}
KERNELS = {
    *("kernel", "recurrent_kernel", "gate_kernel", "gate_recurrent_kernel"),
    *("query_kernel", "key_kernel", "context_kernel", "product_kernel"),
    *("depthwise_kernel", "pointwise_kernel", "query", "score", "taps"),
}


@pytest.mark.parametrize("small", TINY, ids=lambda small: small.name)
def test_of_every_architecture_exactly_the_kernels_decay(small):
    """Biases, also recurrent ones, normalizations and embeddings are spared."""
    model = small.model
    own = optimizer(Optimizer(), 10)
    own.build(model.trainable_variables)
    decaying = {v.path for v in model.trainable_variables if own._var_key(v) in own._decaying}
    assert decaying
    for variable in model.trainable_variables:
        assert variable.name in SPARED | KERNELS, variable.path
        assert (variable.path in decaying) == (variable.name in KERNELS), variable.path


def test_a_factor_scales_the_learning_rate_and_the_decay_of_its_variable():
    config = Optimizer(name="sgd", learning_rate=0.5, weight_decay=0.1, warmup=0.0)
    whole = stepped(config, ["kernel"], gradient=1.0)["kernel"]
    values = stepped(config, ["kernel", "other_kernel"], 1.0, {"other_kernel": 0.5})
    assert values["kernel"] == whole == pytest.approx(1 - 0.05 - 0.5)
    assert values["other_kernel"] == pytest.approx(1 - 0.025 - 0.25)


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ({"clip_norm": 1.0}, (1 - 0.6, 1 - 0.8)),
        ({"clip_variable_norm": 1.0}, (0.0, 0.0)),
        ({"clip_value": 0.5}, (0.5, 0.5)),
        ({}, (-2.0, -3.0)),
    ],
)
def test_gradients_are_clipped_by_value_by_norm_and_by_the_norm_of_all(
    clip: Any, expected: Any
) -> None:
    config = Optimizer(name="sgd", learning_rate=1.0, weight_decay=0.0, warmup=0.0, **clip)
    variables = [keras.Variable(np.ones(1, "float32"), name=name) for name in ("bias", "kernel")]
    # Constant, as the cosine of the first step is 1.
    optimizer(config, 100).apply([tf.constant([3.0]), tf.constant([4.0])], variables)
    assert [float(v.numpy()[0]) for v in variables] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "batch_size", "accumulate"), [("sgd", 8, 4), ("adamw", 8, 2), ("adamw", 4, 9)]
)
def test_accumulated_gradients_are_those_of_the_large_batch(name, batch_size, accumulate):
    """With a last batch that is short and a last update of fewer batches, in 3 epochs of 50."""
    own = Optimizer(
        name=name,
        learning_rate=0.02,
        momentum=0.9 if name == "sgd" else 0.0,
        average=0.9,
        clip_norm=0.5,
        warmup=0.3,
    )
    large = train(own, 50, batch_size * accumulate, epochs=3)
    small = train(replace(own, accumulate=accumulate), 50, batch_size, epochs=3)
    assert int(small.iterations) == int(large.iterations) == 3 * -(-50 // batch_size // accumulate)
    assert float(small.learning_rate) == pytest.approx(float(large.learning_rate))
    pairs = zip(large._trainable_variables, small._trainable_variables, strict=True)
    averages = zip(
        large._model_variables_moving_average, small._model_variables_moving_average, strict=True
    )
    for one, two in (*pairs, *averages):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def train(config: Optimizer, size: int, batch_size: int, epochs: int) -> keras.Optimizer:
    """Returns the optimizer of a small regression after some epochs."""
    random = np.random.default_rng(0)
    x = random.normal(size=(size, 3)).astype("float32")
    y = x @ random.normal(size=(3, 2)).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    steps, last = -(-size // batch_size), ((size - 1) % batch_size + 1) / batch_size
    own = optimizer(config, steps, epochs=epochs, last_batch=last)
    model.compile(own, keras.losses.MeanSquaredError())
    model.fit(x, y, batch_size, epochs, shuffle=False, verbose=0)
    assert int(own._iterations) == epochs * steps
    return own


def trained(config: Optimizer, strategy: Any, scaled: bool) -> list[np.ndarray]:
    """Returns the weights of a small regression and their averages."""
    random = np.random.default_rng(0)
    x = random.normal(size=(24, 3)).astype("float32")
    y = x @ random.normal(size=(3, 2)).astype("float32")
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        own = optimizer(config, 6, epochs=2)
        whole = keras.optimizers.LossScaleOptimizer(own) if scaled else own
        model.compile(whole, keras.losses.MeanSquaredError(), jit_compile=False)
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return [np.array(v) for v in (*model.weights, *own._model_variables_moving_average)]


@pytest.mark.parametrize(
    ("config", "scaled"),
    [
        (Optimizer(name="sgd", momentum=0.9, clip_norm=0.1, average=0.5), False),
        (Optimizer(clip_norm=0.1, average=0.5, accumulate=2), True),
    ],
    ids=["clipped", "accumulated and scaled"],
)
def test_on_several_devices_the_update_is_that_of_one(config, scaled):
    """Clipping by the norm of the whole batch, accumulation and averages, on two devices."""
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    # Collective operations of two strategies in one process would be taken for each other.
    two = strategies.strategy(Config(devices=2))
    pairs = (trained(config, where, scaled) for where in (two, one))
    for first, second in zip(*pairs, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)
