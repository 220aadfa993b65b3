"""Probes: their values are those of independent computations, and they leave no trace."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import architectures
from pipelines.training.probe import Probe

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 5)).astype("float32")
Y = RANDOM.integers(0, 3, 6)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(*layers: keras.layers.Layer, shape: tuple[Any, ...] = (5,), **options: Any) -> Any:
    model = keras.Sequential([keras.Input(shape), *layers])
    model.compile(**{"optimizer": "sgd", "loss": CROSS_ENTROPY, **options})
    return model


def dense() -> keras.Model:
    keras.utils.set_random_seed(1)
    return compiled(
        keras.layers.Dense(4, "tanh", name="hidden"), keras.layers.Dense(3, name="logits")
    )


def test_values_are_those_of_numpy():
    """Back-propagation by hand: softmax and cross-entropy above a layer of tanh."""
    model = dense()
    w, b, v, c = model.get_weights()
    h = np.tanh(X @ w + b)
    logits = h @ v + c
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    error = (exponentials / exponentials.sum(1, keepdims=True) - np.eye(3)[Y]) / len(X)
    below = (error @ v.T) * (1 - h**2)
    expected = [
        np.sqrt(((X.T @ below) ** 2).sum() + (below.sum(0) ** 2).sum()),
        np.sqrt(((h.T @ error) ** 2).sum() + (error.sum(0) ** 2).sum()),
    ]
    probe = Probe(model, model, (X, Y))
    measured = probe.measure()
    assert probe.weight_rows == ("hidden", "logits")
    assert probe.activation_rows == {"hidden": "tanh", "logits": "linear"}
    np.testing.assert_allclose(measured.gradient_norm, expected, rtol=1e-5)
    norms = [np.sqrt((w**2).sum() + (b**2).sum()), np.sqrt((v**2).sum() + (c**2).sum())]
    np.testing.assert_allclose(measured.weight_norm, norms, rtol=1e-5)
    np.testing.assert_allclose(measured.mean, [h.mean(), logits.mean()], rtol=1e-4)
    np.testing.assert_allclose(measured.deviation, [h.std(), logits.std()], rtol=1e-4)
    assert measured.saturation[0] == pytest.approx((1 - h**2 < 0.1).mean())
    assert np.isnan(measured.saturation[1])


def test_the_update_ratio_is_that_of_a_step_of_gradient_descent():
    model = dense()
    model.optimizer.learning_rate = 0.5
    probe = Probe(model, model, (X, Y))
    measured, before = probe.measure(), probe.weights()
    model.train_on_batch(X, Y)
    expected = 0.5 * measured.gradient_norm / measured.weight_norm
    np.testing.assert_allclose(probe.update_ratio(before), expected, rtol=1e-4)


def test_the_gradient_over_time_is_that_of_the_inputs_of_a_recurrent_layer():
    model = compiled(keras.layers.SimpleRNN(4, name="rnn"), keras.layers.Dense(3), shape=(7, 2))
    x = RANDOM.normal(size=(6, 7, 2)).astype("float32")
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        loss = CROSS_ENTROPY(Y, model(inputs, training=True))
    expected = np.sqrt((tape.gradient(loss, inputs).numpy() ** 2).sum((0, 2)))
    measured = Probe(model, model, (x, Y)).measure()
    np.testing.assert_allclose(measured.over_time["rnn"], expected, rtol=1e-4)
    assert measured.gradient_norm.shape == (2,)


def test_a_layer_that_reads_backward_has_its_gradient_in_its_own_order():
    network = architectures.build("bilstm", outputs=3, vocabulary=9, units=[4])
    network.compile("sgd", CROSS_ENTROPY)
    ids = RANDOM.integers(1, 9, (6, 30)).astype("int32")
    batch = {"token_ids": ids, "padding_mask": np.ones_like(ids)}, Y
    over_time = Probe(network, network, batch).measure().over_time
    assert len(over_time) == 2
    for norms in over_time.values():
        assert len(norms) == 30
        assert norms[-1] > 10 * norms[0]


def test_units_that_are_zero_on_the_whole_batch_are_dead():
    model = compiled(keras.layers.Dense(4, "relu", name="hidden"), keras.layers.Dense(3))
    w, b, *rest = model.get_weights()
    b[[0, 2]] = -100
    model.set_weights([w, b, *rest])
    measured = Probe(model, model, (X, Y)).measure()
    assert measured.dead[0][[0, 2]].all()
    h = np.maximum(X @ w + b, 0)
    np.testing.assert_array_equal(measured.dead[0], h.max(0) == 0)
    assert measured.saturation[0] == pytest.approx((h == 0).mean())


def noisy() -> keras.Model:
    """A network with all that a step of training may change: statistics, random states, metrics."""
    keras.utils.set_random_seed(1)
    return compiled(
        keras.layers.Dense(8, name="hidden", kernel_regularizer="l2"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(name="relu"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3, name="logits"),
        optimizer="adam",
        weighted_metrics=["accuracy"],
    )


def test_a_probe_changes_nothing():
    curves, weights = [], []
    for probed in (False, True):
        model = noisy()
        probe = Probe(model, model, (X, Y))
        before = [np.array(v) for v in model.variables]
        if probed:
            probe.measure()
            for variable, value in zip(model.variables, before, strict=True):
                np.testing.assert_array_equal(variable, value)
        measuring = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs, probe=probe: probe.measure()
        )
        callbacks = [measuring] if probed else []
        history = model.fit(X, Y, batch_size=2, epochs=2, verbose=0, callbacks=callbacks)
        curves.append(history.history)
        weights.append(model.get_weights())
        assert "call" not in vars(model.layers[0])
    assert curves[0] == curves[1]
    for one, two in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_penalties_count_in_the_gradient():
    penalized = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(1e6))
    model = compiled(penalized)
    measured = Probe(model, model, (X, Y)).measure()
    penalty = np.linalg.norm(2e6 * np.array(penalized.kernel))
    assert measured.gradient_norm[0] == pytest.approx(penalty, rel=1e-3)


def test_frozen_layers_have_no_gradient_until_they_are_unfrozen():
    model = dense()
    model.layers[0].trainable = False
    probe = Probe(model, model, (X, Y))
    frozen = probe.measure()
    assert np.isnan(frozen.gradient_norm).tolist() == [True, False]
    assert frozen.weight_norm[0] > 0
    model.layers[0].trainable = True
    assert np.isfinite(probe.measure().gradient_norm).all()


def test_several_outputs_and_weights_of_examples_count_as_in_training():
    keras.utils.set_random_seed(1)
    x = keras.Input((5,))
    outputs = {name: keras.layers.Dense(1, name=name)(x) for name in ("one", "two")}
    model = keras.Model(x, outputs)
    model.compile("sgd", {"one": "mse", "two": "mae"})
    target = {name: RANDOM.normal(size=(6, 1)).astype("float32") for name in outputs}
    weight = {"one": np.array([1, 0, 0, 2, 0, 0], "float32"), "two": np.zeros(6, "float32")}
    measured = Probe(model, model, (X, target, weight)).measure()
    kernel, bias = model.get_layer("one").get_weights()
    error = 2 * (X @ kernel + bias - target["one"]) * weight["one"][:, None] / len(X)
    expected = np.sqrt(((X.T @ error) ** 2).sum() + error.sum() ** 2)
    assert dict(zip(("one", "two"), measured.gradient_norm, strict=True)) == {
        "one": pytest.approx(expected, rel=1e-4),
        "two": 0,
    }


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_gives_about_the_same_gradient(precision):
    exact = dense()
    expected = Probe(exact, exact, (X, Y)).measure().gradient_norm
    keras.config.set_dtype_policy(precision)
    try:
        model = dense()
    finally:
        keras.config.set_dtype_policy("float32")
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")
    measured = Probe(model, model, (X, Y)).measure().gradient_norm
    np.testing.assert_allclose(measured, expected, rtol=0.05)


def test_layers_within_layers_are_looked_at_one_by_one():
    network = architectures.build(
        "bert_tiny", vocabulary=20, layers=2, width=8, heads=2, feed_forward=8
    )
    pooled = network.output["pooled_output"]
    model = keras.Model(network.input, keras.layers.Dense(3, name="logits")(pooled))
    model.compile("sgd", CROSS_ENTROPY)
    inputs = {name: np.ones((6, 4), "int32") for name in model.input}
    probe = Probe(model, model, (inputs, Y))
    assert sum("query" in name for name in probe.weight_rows) == 2
    assert "gelu" in probe.activation_rows.values()
    measured = probe.measure()
    assert np.isfinite(measured.mean).all()
    assert (measured.gradient_norm > 0).all()
