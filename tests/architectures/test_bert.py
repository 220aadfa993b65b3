"""The encoders: published sizes, the equations in NumPy, padding, sharing, attention maps."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from architectures import bert
from architectures.attention import attention_maps
from architectures.counting import count_parameters
from architectures.heads import classifier, masked_lm
from tests.architectures.encoder_reference import (
    FAMILIES,
    TINY,
    batch,
    encode,
    hidden_of,
    keras_weights,
    linear,
    tiny,
)


# The other sizes are entries of the catalog, whose test counts them.
@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        ("small_generator", 13_548_800),
        ("base_generator", 33_576_960),
        ("large_generator", 51_065_344),
    ],
)
def test_a_published_generator_has_its_parameters(size, parameters):
    assert count_parameters(bert.electra, size).total == parameters


@pytest.mark.parametrize("builder", [bert.bert, bert.electra])
def test_base_is_the_size_that_is_built_unasked(builder):
    assert count_parameters(builder).total == 109_482_240


def test_roberta_base_lacks_three_rows_of_the_published_124055040():
    """Two positions that are never used, and the only segment."""
    longer = count_parameters(bert.roberta, max_length=514).total
    assert longer - count_parameters(bert.roberta).total == 2 * 768
    assert longer + 768 == 124_055_040


def test_the_body_of_electra_small_is_published_without_a_pooler():
    assert count_parameters(bert.electra, "small").total - (256 * 256 + 256) == 13_483_008


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_is_the_equations_written_out(family):
    model = tiny(family)
    inputs = batch(model)
    weights = keras_weights(model)
    hidden, _ = encode(weights, inputs, family=family, heads=TINY["heads"])
    output = model(inputs, training=False)
    np.testing.assert_allclose(hidden_of(output), hidden, rtol=1e-4, atol=1e-5)
    if "pooler" in weights:
        pooled = np.tanh(linear(hidden[:, 0], weights["pooler"]))
        np.testing.assert_allclose(output["pooled_output"], pooled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing_at_real_tokens(family):
    model = tiny(family)
    inputs = batch(model)
    real = inputs["padding_mask"] == 1
    expected = hidden_of(model(inputs, training=False)).numpy()[real]

    other = {**inputs, "token_ids": np.where(real, inputs["token_ids"], 5).astype("int32")}
    assert np.any(other["token_ids"] != inputs["token_ids"])
    np.testing.assert_allclose(
        hidden_of(model(other, training=False)).numpy()[real], expected, rtol=1e-5, atol=1e-6
    )
    longer = {name: np.pad(value, ((0, 0), (0, 2))) for name, value in inputs.items()}
    hidden = hidden_of(model(longer, training=False)).numpy()
    np.testing.assert_allclose(hidden[:, :-2][real], expected, rtol=1e-5, atol=1e-6)


def test_albert_applies_one_layer_again_and_again():
    once, thrice = tiny("albert", layers=1), tiny("albert", layers=3)
    assert once.count_params() == thrice.count_params()
    assert len(bert.transformer_layers(thrice)) == 1
    thrice.set_weights(once.get_weights())
    inputs = batch(once)
    _, maps = encode(keras_weights(thrice), inputs, family="albert", heads=2)
    assert len(maps) == 3
    first, last = (hidden_of(model(inputs, training=False)) for model in (once, thrice))
    assert np.abs(first - last).max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_start_as_published(family):
    keras.utils.set_random_seed(0)
    narrow = {"embedding": 32} if family in ("albert", "electra") else {}
    model = getattr(bert, family)(
        **{**TINY, **narrow, "width": 48, "feed_forward": 64, "vocabulary": 500}
    )
    for weight in model.weights:
        value = weight.numpy()
        if weight.name in ("bias", "beta"):
            assert not value.any()
        elif weight.name == "gamma":
            assert (value == 1).all()
        elif value.size > 1000:
            # A normal distribution of deviation 0.02, cut at twice that, has 0.88 of it left.
            assert np.abs(value).max() <= 0.04
            assert abs(value.std() / 0.0176 - 1) < 0.1


def test_dropout_is_the_published_one_unless_it_is_overridden():
    rates = {family: tiny(family, dropout=0.3).dropout for family in FAMILIES}
    assert set(rates.values()) == {0.3}
    small = {key: value for key, value in TINY.items() if key != "dropout"}
    assert bert.bert("tiny", **small).dropout == 0.1
    assert bert.albert(**small, embedding=4).dropout == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_maps_are_those_of_the_equations(family):
    model = tiny(family)
    inputs = batch(model)
    _, expected = encode(keras_weights(model), inputs, family=family, heads=TINY["heads"])
    viewer = attention_maps(model)
    maps = viewer(inputs, training=False)
    name = "group_0_inner_layer_0_{}" if family == "albert" else "transformer_layer_{}"
    assert list(maps) == [name.format(index) for index in range(TINY["layers"])]
    padding = inputs["padding_mask"] == 0
    for weights, reference in zip(maps.values(), expected, strict=True):
        assert weights.shape == (3, TINY["heads"], 6, 6)
        np.testing.assert_allclose(weights, reference, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(np.sum(weights, axis=-1), 1, rtol=1e-5)
        assert not weights.numpy().transpose(0, 3, 1, 2)[padding].any()


def test_attention_maps_look_into_a_model_over_an_encoder_and_follow_its_weights(tmp_path):
    encoder = tiny("albert")
    model = masked_lm(encoder)
    viewer = attention_maps(model)
    inputs = batch(encoder)
    assert set(viewer.input) == {"token_ids", "segment_ids", "padding_mask"}
    before = viewer(inputs)
    query = bert.transformer_layers(model)[0]._self_attention_layer.query_dense.kernel
    query.assign(2 * query)
    after, direct = viewer(inputs), attention_maps(encoder)(inputs)
    for name in before:
        assert np.abs(before[name] - after[name]).max() > 1e-3
        np.testing.assert_array_equal(after[name], direct[name])

    viewer.save(tmp_path / "viewer.keras")
    loaded = keras.saving.load_model(tmp_path / "viewer.keras")
    assert loaded.count_params() == viewer.count_params()
    for name, weights in loaded(inputs).items():
        np.testing.assert_array_equal(weights, after[name])


def test_attention_maps_are_float32_under_mixed_precision_too():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier(tiny("bert"), classes=2)
    finally:
        keras.config.set_dtype_policy("float32")
    for weights in attention_maps(model)(batch(model)).values():
        assert weights.dtype == "float32"
        np.testing.assert_allclose(np.sum(weights, axis=-1), 1, rtol=0.02)


def test_attention_maps_refuse_a_model_without_an_encoder():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs), name="plain")
    with pytest.raises(
        ValueError, match="attention_maps: no layer of plain returns attention weights"
    ):
        attention_maps(model)


@pytest.mark.parametrize(
    ("builder", "config", "sentence"),
    [
        (bert.bert, {"size": "huge"}, "bert: size must be one of 'tiny', .*, not 'huge'"),
        (bert.roberta, {"size": "tiny"}, "roberta: size must be one of 'base', 'large', not 'tiny"),
        (bert.bert, {"depth": 3}, "bert has no hyperparameter 'depth'; .*it has: dropout, feed_f"),
        (bert.bert, {"embedding": 64}, "bert has no hyperparameter 'embedding'; it has"),
        (bert.albert, {"embedding": 0}, "albert: embedding must be positive integers, not 0"),
        (bert.distilbert, {"vocabulary": 0}, "distilbert: vocabulary must be positive integers"),
        (bert.electra, {"dropout": 1.0}, r"electra: dropout must be a number in \[0, 1\), not 1.0"),
        (bert.bert, {"heads": 5}, "bert: heads must divide the width, which is 768, and 5 do not"),
    ],
)
def test_a_wrong_hyperparameter_raises_one_sentence(builder, config, sentence):
    with pytest.raises(ValueError, match=sentence):
        builder(**config)
