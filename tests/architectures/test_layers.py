"""The layers that Keras lacks, against their equations written out in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from architectures.layers import (
    POOLINGS,
    TAPS,
    VARIANTS,
    AttentionMemory,
    AttentionPooling,
    HigherOrderRNNCell,
    SequencePooling,
    TappedDelayLine,
)
from tests.architectures import equations

# The first sequence is whole, the second padded at its end, the third has a gap.
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 1, 0]])


def sequence(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


def higher_order(units: int = 3, **options) -> layers.RNN:
    cell = HigherOrderRNNCell(units, dtype="float64", **options)
    return layers.RNN(cell, return_sequences=True, dtype="float64")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_higher_order_network_and_its_gradients_follow_its_equation(variant):
    layer = higher_order(order=3, variant=variant, forgetting=0.7)
    equation = equations.higher_order(variant, forgetting=0.7)
    equations.agree(layer, equation, sequence(3, 5, 2), MASK)


def test_a_higher_order_network_of_order_one_is_the_simple_recurrent_network():
    x, mask = sequence(3, 5, 2), MASK
    simple = layers.SimpleRNN(4, return_sequences=True, dtype="float64")
    order_one = higher_order(4, order=1)
    expected = simple(x, mask=mask)
    order_one(x, mask=mask)
    kernel, recurrent_kernel, bias = simple.get_weights()
    order_one.set_weights([kernel, recurrent_kernel[None], bias])
    np.testing.assert_array_equal(order_one(x, mask=mask), expected)
    assert order_one.count_params() == simple.count_params()


@settings(max_examples=20)
@given(
    i=st.integers(1, 9), u=st.integers(1, 9), k=st.integers(1, 5), variant=st.sampled_from(VARIANTS)
)
def test_a_higher_order_cell_has_as_many_parameters_as_its_closed_form(i, u, k, variant):
    cell = HigherOrderRNNCell(u, order=k, variant=variant)
    cell.build((None, i))
    gates = k * (i * u + u * u) if variant == "gated" else 0
    assert cell.count_params() == i * u + k * u * u + u + gates


def test_the_past_states_enter_through_one_orthogonal_matrix():
    cell = HigherOrderRNNCell(4, order=3)
    cell.build((None, 2))
    together = np.reshape(cell.recurrent_kernel, (12, 4))
    np.testing.assert_allclose(together.T @ together, np.eye(4), atol=1e-6)


@pytest.mark.parametrize("taps", TAPS)
def test_a_tapped_delay_line_and_its_gradients_follow_its_equation(taps):
    layer = TappedDelayLine(3, taps=taps, dtype="float64")
    equations.agree(layer, equations.tapped_delay_line, sequence(3, 5, 2), MASK)


@pytest.mark.parametrize(
    ("taps", "parameters"), [("scalar", 4), ("vector", 4 * 3), ("matrix", 4 * 3 * 3)]
)
def test_a_tapped_delay_line_has_a_number_a_vector_or_a_matrix_for_each_delay(taps, parameters):
    layer = TappedDelayLine(4, taps=taps)
    layer.build((None, None, 3))
    assert layer.count_params() == parameters


def test_a_tapped_delay_line_answers_an_impulse_with_its_taps():
    layer = TappedDelayLine(3, taps="scalar")
    impulse = np.zeros((1, 6, 1), "float32")
    impulse[0, 1] = 1
    answer = np.asarray(layer(impulse))
    expected = [0, *np.asarray(layer.kernel), 0, 0]
    np.testing.assert_array_equal(answer.ravel(), np.array(expected, "float32"))


def test_an_attention_memory_and_its_gradients_follow_its_equation():
    layer = AttentionMemory(4, dtype="float64")
    equations.agree(layer, equations.attention_memory, sequence(3, 5, 2), MASK)


def test_the_weights_of_an_attention_memory_are_shares_of_the_real_past():
    x = sequence(3, 5, 2).astype("float32")
    memory, weights = AttentionMemory(4)(x, mask=MASK, return_attention_scores=True)
    weights = np.asarray(weights)
    allowed = np.tril(np.ones((5, 5)))[None] * MASK[:, None]
    assert np.all(weights[allowed == 0] == 0)
    assert np.all(weights[allowed == 1] > 0)
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones((3, 5)), rtol=1e-6)
    np.testing.assert_allclose(memory, weights @ (x * MASK[..., None]), rtol=1e-5, atol=1e-6)


def test_an_attention_memory_has_two_maps():
    layer = AttentionMemory(4)
    layer.build((None, None, 3))
    assert layer.count_params() == 2 * 3 * 4


def test_attention_pooling_and_its_gradients_follow_its_equation():
    layer = AttentionPooling(4, dtype="float64")
    equations.agree(layer, equations.attention_pooling, sequence(3, 5, 2), MASK)
    assert layer.count_params() == 2 * 4 + 2 * 4


def test_the_weights_of_attention_pooling_are_shares_of_the_real_steps():
    x = sequence(3, 5, 2).astype("float32")
    pooled, weights = AttentionPooling(4)(x, mask=MASK, return_attention_scores=True)
    assert np.array_equal(np.asarray(weights) > 0, MASK > 0)
    np.testing.assert_allclose(np.sum(weights, axis=1), np.ones(3), rtol=1e-6)
    np.testing.assert_allclose(pooled, np.einsum("bt,btf->bf", weights, x), rtol=1e-5)


def test_poolings_take_real_steps_only():
    x = sequence(3, 5, 2).astype("float32")
    real = [x[i][MASK[i] > 0] for i in range(3)]
    for mode, expected in {
        "last": [steps[-1] for steps in real],
        "mean": [steps.mean(axis=0) for steps in real],
        "max": [steps.max(axis=0) for steps in real],
    }.items():
        np.testing.assert_allclose(SequencePooling(mode)(x, mask=MASK), expected, rtol=1e-5)


def all_layers() -> list:
    return [
        *(higher_order(order=2, variant=variant) for variant in VARIANTS),
        *(TappedDelayLine(3, taps=taps, dtype="float64") for taps in TAPS),
        AttentionMemory(4, dtype="float64"),
        *(SequencePooling(mode, dtype="float64") for mode in POOLINGS),
        AttentionPooling(4, dtype="float64"),
    ]


def name(layer: layers.Layer) -> str:
    kind = getattr(layer, "cell", layer)
    options = (getattr(kind, option, "") for option in ("variant", "taps", "mode"))
    return " ".join((type(kind).__name__, *options)).strip()


each_layer = pytest.mark.parametrize("layer", all_layers(), ids=name)


@each_layer
def test_what_stands_at_a_masked_step_changes_no_real_one(layer):
    x = sequence(3, 5, 2)
    other = np.where(MASK[..., None], x, 1e6)
    one, two = np.asarray(layer(x, mask=MASK)), np.asarray(layer(other, mask=MASK))
    real = MASK > 0 if one.ndim == 3 else slice(None)
    np.testing.assert_array_equal(one[real], two[real])


@each_layer
def test_padding_at_the_end_is_as_good_as_none(layer):
    x = sequence(2, 3, 2)
    padded = np.concatenate([x, np.full((2, 2, 2), 1e6)], axis=1)
    mask = np.array([[1, 1, 1, 0, 0]] * 2)
    answer, expected = np.asarray(layer(padded, mask=mask)), np.asarray(layer(x))
    if answer.ndim == 3:
        answer = answer[:, :3]
    np.testing.assert_allclose(answer, expected, rtol=1e-12)


@each_layer
def test_a_sequence_without_a_real_step_gives_finite_numbers(layer):
    answer = np.asarray(layer(sequence(2, 3, 2), mask=np.zeros((2, 3))))
    np.testing.assert_array_equal(answer, np.zeros_like(answer))


@pytest.mark.parametrize(
    "layer", [layer for layer in all_layers() if "Pool" not in name(layer)], ids=name
)
def test_no_later_step_changes_an_earlier_one(layer):
    x = sequence(2, 5, 2)
    later = x.copy()
    later[:, 3:] += 1
    one, two = np.asarray(layer(x)), np.asarray(layer(later))
    np.testing.assert_array_equal(one[:, :3], two[:, :3])
    assert np.all(np.any(one[:, 3:] != two[:, 3:], axis=-1))


@each_layer
def test_a_layer_comes_back_from_its_configuration(layer):
    x = sequence(3, 5, 2)
    expected = layer(x, mask=MASK)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    again(x, mask=MASK)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x, mask=MASK), expected)
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: HigherOrderRNNCell(3, variant="sum"), "variant must be one of 'plain', 'max'"),
        (lambda: HigherOrderRNNCell(3, order=0), "order must be positive integers, not 0"),
        (lambda: HigherOrderRNNCell(3, forgetting=1.0), r"forgetting must be in \(0, 1\), not 1.0"),
        (lambda: TappedDelayLine(0), "length must be positive integers, not 0"),
        (lambda: TappedDelayLine(3, taps="tensor"), "taps must be one of 'scalar', 'vector'"),
        (lambda: AttentionMemory(0), "key_dim must be positive integers, not 0"),
        (lambda: SequencePooling("first"), "mode must be one of 'last', 'mean', 'max'"),
        (lambda: AttentionPooling(-1), "units must be positive integers, not -1"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_wrong_hyperparameter_raises_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=f"^[A-Za-z]+: {sentence}"):
        build()
