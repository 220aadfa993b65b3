"""The checks of the test kit fail for networks with the faults that they look for."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import architectures
from architectures import Architecture, testing
from architectures.testing import SmallModel


class Unregistered(layers.Layer):
    """A layer that Keras cannot find when it loads a file."""

    def call(self, inputs):
        return inputs


class EagerOffset(layers.Layer):
    """A layer that adds 1 in eager execution only."""

    def call(self, inputs):
        return inputs + 1.0 if hasattr(inputs, "numpy") else inputs + 0.0


def faulty(*, fault: str) -> keras.Model:
    """Builds a pooled dense network from sequences with a mask to two logits, with one fault."""
    features = keras.Input((None, 3), name="features")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    initializer = "ones" if fault == "same weights" else "glorot_uniform"
    name = None if fault == "no name" else "dense"
    x: Any = layers.Dense(4, kernel_initializer=initializer, name=name)(features)
    if fault == "no gradient":
        x = ops.stop_gradient(x)
    if fault == "gradient of zero":
        x = x + layers.Dense(4, use_bias=False, name="unused")(ops.zeros_like(features))
    if fault == "infinite gradient":
        x = x + ops.sqrt(layers.Dense(4, kernel_initializer="zeros", name="root")(features))
    if fault == "dead weight with a regularizer":
        penalty = keras.regularizers.L2(0.1)
        unused = layers.Dense(4, kernel_regularizer=penalty, use_bias=False, name="unused")
        x = x + unused(ops.zeros_like(features))
    if fault == "unregistered":
        x = Unregistered(name="unregistered")(x)
    if fault == "differs in a graph":
        x = EagerOffset(name="offset")(x)
    real = ops.cast(mask, x.dtype)[:, :, None]
    pooled = ops.sum(x if fault == "reads padding" else x * real, axis=1)
    if fault == "mixes examples":
        pooled = pooled - ops.mean(pooled, axis=0, keepdims=True)
    if fault == "cannot learn":
        pooled = ops.zeros_like(pooled)
    dtype = None if fault == "half precision" else "float32"
    logits = layers.Dense(2, kernel_initializer=initializer, dtype=dtype, name="logits")(pooled)
    return keras.Model({"features": features, "padding_mask": mask}, logits, name="faulty")


def sequences(batch: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    lengths = random.integers(2, 5, size=(batch, 1))
    return {
        "features": random.normal(size=(batch, 5, 3)).astype("float32"),
        "padding_mask": (np.arange(5) < lengths).astype("int32"),
    }


@pytest.fixture
def small(monkeypatch):
    entry = Architecture(f"{__name__}:faulty", "recurrent", "test", "none")
    monkeypatch.setitem(architectures.ARCHITECTURES, "faulty", entry)
    return lambda fault="", count=(3 * 4 + 4) + (4 * 2 + 2), shape=(2,): SmallModel(
        "faulty", {"fault": fault}, count, sequences, shape
    )


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
def test_a_sound_network_passes(check, small, tmp_path):
    check(small(), tmp_path)


@pytest.mark.parametrize(
    ("check", "fault", "message"),
    [
        (testing.check_gradients, "no gradient", "dense/kernel gets no gradient"),
        (testing.check_gradients, "gradient of zero", "unused/kernel gets a gradient of zero"),
        (testing.check_gradients, "infinite gradient", "gets a gradient that is not finite"),
        (testing.check_gradients, "dead weight with a regularizer", "unused/kernel gets a gradien"),
        (testing.check_mixed_precision, "half precision", "output dtype bfloat16 under mixed"),
        (testing.check_output, "mixes examples", "Not equal to tolerance"),
        (testing.check_xla, "differs in a graph", "Not equal to tolerance"),
        (testing.check_saved_model, "differs in a graph", "Not equal to tolerance"),
        (testing.check_learning, "cannot learn", r"the loss went from \S+ to \S+ only"),
        (testing.check_padding, "reads padding", "Not equal to tolerance"),
        (testing.check_seed, "same weights", "another seed gives the same weights"),
        (testing.check_layer_names, "no name", "layers without a name of their own: "),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_fault_is_found(check, fault, message, small, tmp_path):
    with pytest.raises(AssertionError, match=message):
        check(small(fault), tmp_path)


def test_a_layer_that_cannot_be_loaded_is_found(small, tmp_path):
    with pytest.raises(TypeError, match="Unregistered"):
        testing.check_keras_file(small("unregistered"), tmp_path)


def test_a_wrong_expectation_is_found(small, tmp_path):
    with pytest.raises(AssertionError, match="26 parameters, not 27"):
        testing.check_parameter_count(small(count=27), tmp_path)
    with pytest.raises(AssertionError, match=r"output shape \(3, 2\), not \(3, 3\)"):
        testing.check_output(small(shape=(3,)), tmp_path)
