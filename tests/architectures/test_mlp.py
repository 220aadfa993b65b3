"""The multilayer perceptron against its equation and its gradient."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import architectures
from architectures.mlp import mlp


def test_a_layer_is_the_equation_written_out():
    model = mlp(classes=3, input_shape=(4,), units=(5,), activation="tanh", dropout=0.0)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    (w1, b1), (w2, b2) = (model.get_layer(name).get_weights() for name in ("dense1", "logits"))
    expected = np.tanh(x @ w1 + b1) @ w2 + b2
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)


def test_gradients_agree_with_central_differences():
    model = mlp(classes=2, input_shape=(3,), units=(4,), activation="tanh", dropout=0.0)
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)

    def loss() -> tf.Tensor:
        return tf.reduce_sum(tf.square(model(x)))

    weights = model.get_layer("dense1").kernel
    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, weights.value).numpy()
    start, step = weights.numpy(), 1e-2
    differences = np.zeros_like(start)
    for index in np.ndindex(start.shape):
        sides = []
        for sign in (1, -1):
            moved = start.copy()
            moved[index] += sign * step
            weights.assign(moved)
            sides.append(float(loss()))
        differences[index] = (sides[0] - sides[1]) / (2 * step)
    np.testing.assert_allclose(gradient, differences, rtol=2e-2, atol=2e-2)


def test_without_hidden_layers_it_is_logistic_regression():
    model = mlp(classes=10, input_shape=(8, 8, 1), units=())
    assert model.count_params() == 64 * 10 + 10


def test_weight_decay_is_the_sum_of_squares():
    model = mlp(classes=2, input_shape=(3,), units=(4,), l2=0.5)
    kernels = [model.get_layer(name).kernel.numpy() for name in ("dense1", "logits")]
    expected = 0.5 * sum((kernel**2).sum() for kernel in kernels)
    np.testing.assert_allclose(float(keras.ops.sum(model.losses)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"units": 5}, "mlp: units must be a list of integers, not 5"),
        ({"units": [0]}, "mlp: units must be positive integers, not 0"),
        ({"classes": 0}, "mlp: classes must be positive integers, not 0"),
        ({"dropout": 1.0}, r"mlp: dropout must be a number in \[0, 1\), not 1.0"),
        ({"activation": "nope"}, "mlp: Keras has no activation 'nope'"),
    ],
)
def test_a_bad_hyperparameter_is_named(wrong, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        architectures.build("mlp", **{"classes": 2, "input_shape": (3,), **wrong})
