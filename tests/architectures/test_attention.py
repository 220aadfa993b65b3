"""Attention, the Transformer layer and attention maps against equations and keras_hub."""

from __future__ import annotations

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from architectures.attention import Attention, MatrixInitializer, attention_maps
from architectures.transformer_layer import TransformerLayer
from tests.architectures import reference

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 3, 4))
MEMORY = RANDOM.normal(size=(2, 5, 4))
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)


def built_attention(**options) -> Attention:
    layer = Attention(2, 2, dtype="float64", **options)
    layer.build(X.shape, MEMORY.shape)
    return reference.shaken(layer)


def test_scaled_dot_product_attention_follows_its_equation():
    query, key, value = (RANDOM.normal(size=(2, 3, length, 4)) for length in (3, 5, 5))
    answer = keras.ops.dot_product_attention(
        *(np.swapaxes(part, 1, 2) for part in (query, key, value)), mask=MASK[:, None, None]
    )
    expected, _ = reference.attention(query, key, value, MASK[:, None, None])
    np.testing.assert_allclose(np.swapaxes(answer, 1, 2), expected, atol=1e-12)


def test_multi_head_attention_follows_its_equation_with_and_without_weights_asked_for():
    layer = built_attention()
    expected, maps = reference.multi_head_attention(
        X, MEMORY, layer.get_weights(), MASK[:, None, :]
    )
    answer, none = layer.attend(X, MEMORY, MASK[:, None, :])
    assert none is None
    np.testing.assert_allclose(answer, expected, atol=1e-6)
    answer, weights = layer.attend(X, MEMORY, MASK[:, None, :], scores=True)
    np.testing.assert_allclose(answer, expected, atol=1e-6)
    np.testing.assert_allclose(weights, maps, atol=1e-6)
    assert not np.any(np.asarray(weights)[1, ..., 3:])


def test_its_gradients_are_the_finite_differences_of_the_equation():
    layer, direction = built_attention(), RANDOM.normal(size=X.shape)
    x, memory = tf.Variable(X), tf.Variable(MEMORY)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer.attend(x, memory, MASK[:, None, :])[0] * direction)
    variables = [x, memory, *(weight.value for weight in layer.trainable_weights)]
    arrays = [variable.numpy() for variable in variables]

    def equation() -> float:
        x, memory, *weights = arrays
        answer, _ = reference.multi_head_attention(x, memory, weights, MASK[:, None, :])
        return float(np.sum(answer * direction))

    for array, gradient in zip(arrays, tape.gradient(loss, variables), strict=True):
        estimate = np.empty(array.shape)
        for index, value in np.ndenumerate(array):
            array[index] = value + 1e-5
            above = equation()
            array[index] = value - 1e-5
            estimate[index] = (above - equation()) / 2e-5
            array[index] = value
        np.testing.assert_allclose(gradient, estimate, rtol=1e-4, atol=1e-6)


def test_keys_and_values_known_beforehand_give_the_same_answer():
    layer = built_attention()
    expected, _ = layer.attend(X, MEMORY, None)
    known = layer.keys_and_values(MEMORY)
    answer, cache = layer.attend(X, X, None, cache=known)
    np.testing.assert_allclose(answer, expected, atol=1e-12)
    np.testing.assert_array_equal(cache, known)


def test_kernels_are_drawn_as_the_matrices_they_stand_for():
    """Glorot's limit for a square matrix is sqrt(3 / width), whatever the heads."""
    layer = TransformerLayer(64, 8, 256, cross_attention=True)
    layer.build((None, None, 64), (None, None, 64))
    kernels = [weight for weight in layer.weights if weight.path.endswith("kernel")]
    assert len(kernels) == 10
    for kernel in kernels:
        limit = np.sqrt(6 / (64 + 256)) if "feed_forward" in kernel.path else np.sqrt(3 / 64)
        assert 0.95 * limit < np.abs(kernel).max() <= limit
    assert len({float(np.asarray(kernel).flat[0]) for kernel in kernels}) == 10, "equal draws"


def test_matrices_that_end_a_sub_layer_can_be_drawn_differently():
    layer = TransformerLayer(
        64,
        8,
        256,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        residual_initializer=keras.initializers.RandomNormal(stddev=0.005),
    )
    layer.build((None, None, 64))
    spreads = {w.path: np.std(w) for w in layer.weights if w.path.endswith("kernel")}
    assert len(spreads) == 6
    for path, spread in spreads.items():
        last = "attention_output" in path or "feed_forward_outer" in path
        assert spread == pytest.approx(0.005 if last else 0.02, rel=0.05), path


def test_initializer_and_attention_come_back_from_their_configurations():
    initializer = MatrixInitializer(keras.initializers.RandomNormal(stddev=0.5), inputs=2)
    layer = Attention(2, 2, output_initializer=initializer, kernel_initializer="zeros")
    other = keras.layers.deserialize(keras.layers.serialize(layer))
    other.build(X.shape, MEMORY.shape)
    query, *_, output, _ = other.get_weights()
    assert not query.any()
    assert output.any()
    assert other.output_initializer.get_config() == initializer.get_config()


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_an_encoder_layer_equals_keras_hubs(norm):
    layer = TransformerLayer(4, 2, 7, norm=norm, epsilon=1e-3, name="ours")
    other = keras_hub.layers.TransformerEncoder(
        7, 2, layer_norm_epsilon=1e-3, normalize_first=norm == "pre", name="theirs"
    )
    layer.build(MEMORY.shape)
    other.build(MEMORY.shape)
    reference.copy_weights(reference.shaken(layer), other)
    expected, maps = other(MEMORY, padding_mask=MASK, return_attention_scores=True)
    np.testing.assert_allclose(layer(MEMORY, padding_mask=MASK), expected, atol=1e-5)
    answer, weights = layer(MEMORY, padding_mask=MASK, return_attention_scores=True)
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    np.testing.assert_allclose(weights["self_attention"], maps, atol=1e-5)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_decoder_layer_equals_keras_hubs(norm):
    layer = TransformerLayer(4, 2, 7, causal=True, cross_attention=True, norm=norm, name="ours")
    other = keras_hub.layers.TransformerDecoder(
        7, 2, layer_norm_epsilon=1e-6, normalize_first=norm == "pre", name="theirs"
    )
    layer.build(X.shape, MEMORY.shape)
    other.build(X.shape, MEMORY.shape)
    reference.copy_weights(reference.shaken(layer), other)
    padding = np.array([[1, 1, 1], [1, 1, 0]], bool)
    expected = other(X, MEMORY, decoder_padding_mask=padding, encoder_padding_mask=MASK)
    answer = layer(X, MEMORY, padding_mask=padding, memory_padding_mask=MASK)
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_a_layer_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="norm must be one of 'post', 'pre', not 'both'"):
        TransformerLayer(4, 2, 8, norm="both")
    with pytest.raises(ValueError, match="activation must be one of 'relu', 'gelu_tanh', not 'x'"):
        TransformerLayer(4, 2, 8, activation="x")


def bert(backbone, **options):
    return backbone(vocabulary_size=11, num_heads=2, hidden_dim=8, intermediate_dim=16, **options)


TOKENS = {
    "token_ids": np.array([[1, 2, 3, 4], [5, 6, 0, 0]]),
    "segment_ids": np.zeros((2, 4), int),
    "padding_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]]),
}


def test_maps_of_an_encoder_of_keras_hub_show_what_its_layers_attend_to():
    model = reference.shaken(bert(keras_hub.models.BertBackbone, num_layers=2))
    maps = attention_maps(model)(TOKENS)
    assert set(maps) == {"transformer_layer_0", "transformer_layer_1"}
    first = model.get_layer("transformer_layer_0")
    _, expected = first(
        keras.Model(model.input, first.input[0])(TOKENS),
        padding_mask=TOKENS["padding_mask"],
        return_attention_scores=True,
    )
    np.testing.assert_allclose(maps["transformer_layer_0"], expected, atol=1e-6)
    for weights in maps.values():
        np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-6)
        assert not np.any(np.asarray(weights)[1, ..., 2:])


def test_maps_of_a_layer_that_is_applied_repeatedly_are_counted():
    model = bert(keras_hub.models.AlbertBackbone, num_layers=3, embedding_dim=4)
    (name,) = {layer.name for layer in model.layers if "inner_layer" in layer.name}
    maps = attention_maps(reference.shaken(model))(TOKENS)
    assert set(maps) == {f"{name}_{index}" for index in range(3)}
    assert np.abs(maps[f"{name}_0"] - maps[f"{name}_2"]).max() > 1e-3


def test_a_model_without_attention_has_no_maps():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="plain")
    with pytest.raises(ValueError, match="no layer of plain returns attention weights"):
        attention_maps(model)


def test_maps_do_not_copy_the_optimizer():
    model = bert(keras_hub.models.BertBackbone, num_layers=1)
    # Keras could not make another of a class that is nowhere by name.
    model.compile(type("Own", (keras.optimizers.SGD,), {})())
    assert set(attention_maps(model)(TOKENS)) == {"transformer_layer_0"}
