"""The equations of the sequence layers in NumPy, and the comparison of a layer with its equation.

Each takes the weights in Keras' order, then a sequence [batch, time, features] and a mask
[batch, time], and returns the sequence of its outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Array = np.ndarray
Equation = Callable[..., Array]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    exponential = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)


def recurrence(step: Callable, states: int, units: int, x: Array, mask: Array) -> Array:
    """Runs `step(x_t, past)` over time; steps that are not real leave the states as they are."""
    past = [np.zeros((len(x), units), x.dtype) for _ in range(states)]
    outputs = []
    for t in range(x.shape[1]):
        new = step(x[:, t], past)
        real = mask[:, t, None] > 0
        past = [np.where(real, n, p) for n, p in zip(new, past, strict=True)]
        outputs.append(past[0])
    return np.stack(outputs, axis=1)


def simple(w: Array, u: Array, b: Array, x: Array, mask: Array) -> Array:
    return recurrence(lambda x, h: [np.tanh(x @ w + h[0] @ u + b)], 1, len(u), x, mask)


def lstm(w: Array, u: Array, b: Array, x: Array, mask: Array) -> Array:
    def step(x, past):
        h, c = past
        i, f, candidate, o = np.split(x @ w + h @ u + b, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
        return [sigmoid(o) * np.tanh(c), c]

    return recurrence(step, 2, len(u), x, mask)


def gru(w: Array, u: Array, b: Array, x: Array, mask: Array) -> Array:
    """Keras' form with r before the product: b is one vector."""
    uz, ur, uh = np.split(u, 3, axis=-1)

    def step(x, past):
        (h,) = past
        xz, xr, xh = np.split(x @ w + b, 3, axis=-1)
        z, r = sigmoid(xz + h @ uz), sigmoid(xr + h @ ur)
        return [z * h + (1 - z) * np.tanh(xh + (r * h) @ uh)]

    return recurrence(step, 1, len(u), x, mask)


def gru_reset_after(w: Array, u: Array, b: Array, x: Array, mask: Array) -> Array:
    """Keras' form with r after the product: b is one vector for the input, one for the state."""

    def step(x, past):
        (h,) = past
        xz, xr, xh = np.split(x @ w + b[0], 3, axis=-1)
        hz, hr, hh = np.split(h @ u + b[1], 3, axis=-1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        return [z * h + (1 - z) * np.tanh(xh + r * hh)]

    return recurrence(step, 1, len(u), x, mask)


def higher_order(variant: str, forgetting: float = 0.6) -> Equation:
    def equation(*arguments: Array) -> Array:
        w, u, b, *gates, x, mask = arguments

        def step(x, past):
            paths = [h @ matrix for h, matrix in zip(past, u, strict=True)]
            if variant == "gated":
                g, h = gates
                paths = [sigmoid(x @ g[k] + past[k] @ h[k]) * path for k, path in enumerate(paths)]
            elif variant == "fofe":
                paths = [forgetting**k * path for k, path in enumerate(paths, 1)]
            memory = np.max(paths, axis=0) if variant == "max" else np.sum(paths, axis=0)
            return [np.tanh(x @ w + memory + b), *past[:-1]]

        return recurrence(step, len(u), u.shape[-1], x, mask)

    return equation


def tapped_delay_line(taps: Array, x: Array, mask: Array) -> Array:
    x = x * mask[..., None]
    z = np.zeros_like(x)
    for t in range(x.shape[1]):
        for i, tap in enumerate(taps):
            if t - i >= 0:
                z[:, t] += x[:, t - i] @ tap if tap.ndim == 2 else x[:, t - i] * tap
    return z


def attention_memory(q: Array, k: Array, x: Array, mask: Array) -> Array:
    z = np.zeros_like(x)
    for example in range(len(x)):
        for t in range(x.shape[1]):
            past = [s for s in range(t + 1) if mask[example, s]]
            if past:
                y = x[example, past]
                weights = softmax((y @ k) @ (x[example, t] @ q) / np.sqrt(k.shape[1]))
                z[example, t] = weights @ y
    return z


def attention_pooling(w: Array, b: Array, q: Array, x: Array, mask: Array) -> Array:
    pooled = np.zeros_like(x[:, 0])
    for example in range(len(x)):
        y = x[example, mask[example] > 0]
        if len(y):
            pooled[example] = softmax(np.tanh(y @ w + b) @ q[:, 0]) @ y
    return pooled


def central_differences(function: Callable[[], float], array: Array, step: float = 1e-6) -> Array:
    """Returns the gradient of `function`, which reads `array`, with respect to it."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value, sides = array[index], []
        for moved in (value + step, value - step):
            array[index] = moved
            sides.append(function())
        array[index] = value
        gradient[index] = (sides[0] - sides[1]) / (2 * step)
    return gradient


def agree(layer: Any, equation: Equation, x: Array, mask: Array) -> None:
    """Asserts that the outputs at real steps and all gradients are those of the equation.

    The layer computes in float64 and gets random weights; the gradients are compared with central
    differences of the equation, so that the layer has no part in what it is compared with.
    """
    random = np.random.default_rng(0)
    inputs = tf.constant(x)
    layer(inputs, mask=tf.constant(mask))
    weights = [random.normal(scale=0.7, size=weight.shape) for weight in layer.weights]
    layer.set_weights(weights)

    expected = equation(*weights, x, mask)
    probe = random.normal(size=expected.shape)
    if expected.ndim == 3:
        probe *= mask[..., None]

    def loss() -> float:
        return float((equation(*weights, x, mask) * probe).sum())

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, mask=tf.constant(mask))
        value = tf.reduce_sum(outputs * probe)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float64"
    seen = probe != 0
    np.testing.assert_allclose(outputs.numpy()[seen], expected[seen], rtol=1e-9, atol=1e-12)
    variables = [weight.value for weight in layer.weights]
    gradients = tape.gradient(value, [inputs, *variables])
    for gradient, array in zip(gradients, [x, *weights], strict=True):
        differences = central_differences(loss, array)
        np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-7)
        assert np.any(differences)
