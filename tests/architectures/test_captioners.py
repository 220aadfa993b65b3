"""Captioners: the LSTM's equations, what is seen of image and caption, decoding step by step."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from architectures import feature_map, lstm_captioner, transformer_captioner
from architectures.attention import attention_maps
from tests.architectures import reference

SHAPE = (8, 12, 1)
PLACES = (2, 3)
ENCODER: dict[str, Any] = {"vocabulary": 11, "input_shape": SHAPE, "filters": (3, 4)}
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(size=(3, *SHAPE)).astype("float32")
TARGET = RANDOM.integers(0, 11, (3, 5))


@pytest.fixture(scope="module")
def lstm() -> keras.Model:
    model = lstm_captioner.lstm_captioner(**ENCODER, width=5, embedding=6, units=7)
    return reference.shaken(model)


@pytest.fixture(scope="module")
def transformer() -> keras.Model:
    small: dict[str, Any] = {"layers": 2, "heads": 2, "width": 8, "feed_forward": 12}
    return reference.shaken(transformer_captioner.transformer_captioner(**ENCODER, **small))


@pytest.fixture(params=["lstm", "transformer"])
def captioner(request) -> tuple[keras.Model, ModuleType]:
    modules = {"lstm": lstm_captioner, "transformer": transformer_captioner}
    return request.getfixturevalue(request.param), modules[request.param]


def batch(images=IMAGES, target=TARGET) -> dict[str, np.ndarray]:
    return {"images": images, "target_ids": target, "target_padding_mask": np.ones_like(target)}


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def written_out(model: keras.Model, image: np.ndarray, ids: np.ndarray):
    """Logits [target, vocabulary] and attention [target, places] of one pair, by the equations."""

    def weights(name: str) -> list[np.ndarray]:
        return [np.asarray(w, np.float64) for w in model.get_layer(name).get_weights()]

    memory = np.asarray(feature_map.encode(model, image[np.newaxis]))[0].astype(np.float64)
    own = {w.path.split("attention_lstm/")[1]: np.asarray(w) for w in _layer(model).weights}
    mean = memory.mean(0)
    hidden, cell = (
        np.tanh(mean @ own[f"{name}/kernel"] + own[f"{name}/bias"])
        for name in ("first_hidden", "first_cell")
    )
    keys = memory @ own["keys/kernel"] + own["keys/bias"]
    (embedding,), (kernel, bias), (last, last_bias) = (
        weights(name) for name in ("target_embedding", "output_projection", "logits")
    )
    logits, maps = [], []
    for token in ids:
        scores = np.tanh(keys + hidden @ own["query/kernel"]) @ own["step/score"][:, 0]
        alpha = softmax(scores)
        gate = 1 / (1 + np.exp(-(hidden @ own["gate/kernel"] + own["gate/bias"])))
        context = gate * (alpha @ memory)
        x = np.concatenate([embedding[token], context])
        gates = x @ own["lstm/kernel"] + hidden @ own["lstm/recurrent_kernel"] + own["lstm/bias"]
        i, f, new, o = np.split(gates, 4)
        i, f, o = (1 / (1 + np.exp(-each)) for each in (i, f, o))
        cell = f * cell + i * np.tanh(new)
        hidden = o * np.tanh(cell)
        found = np.concatenate([hidden, context]) @ kernel + bias
        logits.append(np.tanh(embedding[token] + found) @ last + last_bias)
        maps.append(alpha)
    return np.array(logits), np.array(maps)


def _layer(model: keras.Model) -> keras.Layer:
    return model.get_layer("attention_lstm")


def test_the_lstm_computes_the_equations_of_the_paper(lstm):
    output = lstm(batch(), training=False)
    maps = attention_maps(lstm)(batch())
    assert list(maps) == ["attention_lstm"]
    for row in range(3):
        logits, attention = written_out(lstm, IMAGES[row], TARGET[row])
        np.testing.assert_allclose(output[row], logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(maps["attention_lstm"][row], attention, rtol=1e-4, atol=1e-5)


def test_places_are_those_of_the_feature_map_with_their_positions(captioner):
    model, _ = captioner
    assert feature_map.grid(model) == PLACES
    pooled = keras.Model(model.input["images"], model.get_layer("pool2").output)(IMAGES)
    kernel, bias = model.get_layer("place_projection").get_weights()
    (positions,) = model.get_layer("place_positions").get_weights()
    flat = np.reshape(pooled, (3, 6, 4))
    found = feature_map.encode(model, IMAGES)
    np.testing.assert_allclose(found, flat @ kernel + bias + positions, rtol=1e-4, atol=1e-5)


def test_a_token_depends_on_the_image_and_the_tokens_before_it_alone(captioner):
    model, _ = captioner
    expected = np.asarray(model(batch(), training=False))
    other = np.array(TARGET)
    other[:, 3] = (other[:, 3] + 1) % 11
    changed = np.asarray(model(batch(target=other), training=False))
    np.testing.assert_allclose(changed[:, :3], expected[:, :3], rtol=1e-4, atol=1e-5)
    assert (np.abs(changed[:, 3:] - expected[:, 3:]).max(-1) > 1e-4).all()
    turned = np.asarray(model(batch(images=IMAGES[:, ::-1]), training=False))
    assert (np.abs(turned - expected).max(-1) > 1e-4).all()


def test_attention_sums_to_one_over_the_places(captioner):
    model, _ = captioner
    for name, weight in attention_maps(model)(batch()).items():
        places = 5 if "self_attention" in name else 6
        assert weight.shape[-2:] == (5, places)
        np.testing.assert_allclose(np.sum(weight, -1), 1, atol=1e-5)


def test_cached_decoding_gives_the_logits_of_the_whole_network(captioner):
    model, module = captioner
    expected = np.asarray(model(batch(), training=False))
    step, cache = module.next_token(model), module.encode(model, IMAGES, 6)
    prompt = np.pad(TARGET, [(0, 0), (0, 1)]).astype("int32")
    for index in range(1, 6):
        logits, features, cache = step(prompt, cache, index)
        assert features.shape[0] == 3
        np.testing.assert_allclose(logits, expected[:, index - 1], rtol=1e-4, atol=1e-4)


def test_the_encoder_may_be_a_residual_network():
    model = lstm_captioner.lstm_captioner(
        vocabulary=11, input_shape=(64, 32, 3), encoder="resnet18", width=5, embedding=6, units=7
    )
    assert feature_map.grid(model) == (2, 1)
    names = [layer.name for layer in model.layers]
    # As in resnet.py, so that weights can be assigned by name; without its head.
    assert {"conv1", "conv5_2_add"} <= set(names)
    assert "average_pool" not in names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "vgg16"}, "encoder must be one of 'convnet', 'resnet18'.*, not 'vgg16'"),
        ({"vocabulary": 0}, "vocabulary must be positive integers, not 0"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), not 1.0"),
        ({"filters": (3,) * 4}, "images of 8x12 are used up by stage 4 of 4"),
        ({"width": 0}, "width must be positive integers, not 0"),
        ({"input_shape": (8, 8)}, r"input_shape must be \(height, width, channels\)"),
    ],
)
@pytest.mark.parametrize(
    "builder", [lstm_captioner.lstm_captioner, transformer_captioner.transformer_captioner]
)
def test_hyperparameters_out_of_range_are_named(builder, options, message):
    with pytest.raises(ValueError, match=message):
        builder(**{**ENCODER, **options})


def test_heads_must_divide_the_width_and_norm_is_one_of_two():
    with pytest.raises(ValueError, match="width must be a multiple of heads, 4, not 6"):
        transformer_captioner.transformer_captioner(**ENCODER, width=6)
    with pytest.raises(ValueError, match="norm must be one of 'post', 'pre', not 'none'"):
        transformer_captioner.transformer_captioner(**ENCODER, norm="none")
