"""Variants compute what the network does, as far as their weights allow."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.errors import ValidationError
from pipelines.export import ops, saved_model
from pipelines.export.signature import Signature
from pipelines.task import Network
from pipelines.variants import options, variant
from pipelines.variants.variant import VARIANTS
from tests.pipelines import samples

X = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
Y = X @ samples.WEIGHTS + samples.BIAS


def linear() -> Network:
    x = keras.Input((3,))
    return Network(keras.Model(x, keras.layers.Dense(2)(x)))


@pytest.mark.parametrize(
    ("name", "rounding"), [("bfloat16", 2**-8), ("int8", 2**-7), ("xla", 1e-6), ("frozen", 1e-6)]
)
def test_a_variant_has_the_networks_outputs(name, rounding, tmp_path):
    made = VARIANTS[name](linear, [samples.WEIGHTS, samples.BIAS])
    model = made.network.model

    def serving_default(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": model(x, training=False)}

    signature = Signature(
        "serving_default", serving_default, {"x": tf.TensorSpec([None, 3])}, {"x": X}, {"y": Y}
    )
    with made.within():
        outputs = model(X, training=False)
        tracked = None if made.frozen else model
        folder = saved_model.saved_model(tracked, [signature], tmp_path / name)
    assert outputs.dtype == "float32"
    np.testing.assert_allclose(outputs, Y, atol=rounding * np.abs(samples.WEIGHTS).max() * 3)
    served = tf.saved_model.load(folder).signatures["serving_default"](x=tf.constant(X))
    np.testing.assert_allclose(served["y"], outputs, rtol=1e-6, atol=1e-6)
    assert ops.compiled(folder) == (name == "xla")


def test_variants_have_the_names_that_the_command_knows():
    assert list(VARIANTS) == list(options.NAMES)


def test_weights_are_kept_in_fewer_bytes():
    for name, size in (("bfloat16", 2), ("int8", 1)):
        model = VARIANTS[name](linear, [samples.WEIGHTS, samples.BIAS]).network.model
        (kernel,) = (each for each in model.weights if each.shape == (3, 2))
        assert tf.as_dtype(kernel.dtype).size == size
    assert keras.config.dtype_policy().name == "float32"


def test_frozen_weights_are_no_variables(tmp_path):
    made = variant.frozen(linear, [samples.WEIGHTS, samples.BIAS])
    with made.within():
        signatures = samples.linear_signatures(made.network.model)
        folder = saved_model.saved_model(None, signatures, tmp_path / "frozen")
    made.network.model.set_weights([0 * samples.WEIGHTS, 0 * samples.BIAS])
    loaded = tf.saved_model.load(folder)
    assert len(loaded.signatures["text"].variables) == 0
    served = loaded.signatures["serving_default"](x=tf.constant(X))["y"]
    np.testing.assert_allclose(served, Y, rtol=1e-5)


def test_xla_compiles_for_few_sizes_of_batches():
    model = variant.xla(linear, [samples.WEIGHTS, samples.BIAS]).network.model
    sizes: list[int] = []

    def compiled(x: tf.Tensor) -> tf.Tensor:
        sizes.append(len(x))
        return tf.zeros([len(x), 2])

    model._call_compiled = compiled
    for size in (0, 1, 2, 3, 4, 5, 8, 1000):
        assert model(tf.zeros([size, 3])).shape == (size, 2)
    assert sizes == [1, 1, 2, 4, 4, 8, 8, 1024]


def test_what_a_network_does_not_have_is_said():
    x = keras.Input((4, 4, 1))
    convolution = Network(keras.Model(x, keras.layers.Conv2D(1, 2)(x)))
    weights = convolution.model.get_weights()
    with pytest.raises(ValidationError, match="the network has none of them"):
        variant.int8(lambda: convolution, weights)
    x = keras.Input((None, 3))
    sequences = Network(keras.Model(x, keras.layers.Dense(2)(x)))
    with pytest.raises(ValidationError, match="reads inputs of any length"):
        variant.xla(lambda: sequences, sequences.model.get_weights())
    large = np.broadcast_to(np.float32(0), (2**15, 2**14))
    with pytest.raises(ValidationError, match=r"at most 2 GB of constants, .* have 2\.1 GB"):
        variant.frozen(linear, [large])
