"""Decoder-only Transformers: GPT-2's sizes and numbers, and decoding step by step."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from architectures.attention import attention_maps
from architectures.counting import count_parameters
from architectures.decoder import decoder, next_token, prefill
from tests.architectures import reference

SMALL: dict[str, Any] = {"vocabulary": 11, "max_length": 8, "layers": 2, "heads": 2, "width": 8}
RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(0, 11, (3, 7))


@pytest.fixture(scope="module")
def model():
    return reference.shaken(decoder("char_small", **SMALL))


def logits(model, tokens=TOKENS, mask=None):
    mask = np.ones_like(tokens) if mask is None else mask
    return np.asarray(model({"token_ids": tokens, "padding_mask": mask}))


@pytest.mark.parametrize(
    ("size", "positions", "layers", "width"), [("char", 256, 6, 384), ("char_small", 64, 4, 128)]
)
def test_character_models_have_the_parameters_counted_by_hand(size, positions, layers, width):
    layer = 4 * (width + 1) * width + (width + 1) * 4 * width + (4 * width + 1) * width + 4 * width
    expected = (65 + positions) * width + layers * layer + 2 * width
    assert count_parameters(decoder, size, vocabulary=65, max_length=positions).total == expected


def test_it_computes_what_keras_hubs_gpt2_computes(model):
    other = keras_hub.models.GPT2Backbone(
        vocabulary_size=11,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=32,
        max_sequence_length=8,
    )
    for number in (1, 2):
        reference.copy_weights(
            model.get_layer(f"layer_{number}"), other.get_layer(f"transformer_layer_{number - 1}")
        )
    for name in ("token_embedding", "position_embedding", "norm"):
        part = other.get_layer("layer_norm" if name == "norm" else name)
        part.set_weights(model.get_layer(name).get_weights())
    mask = (np.arange(7) < [[7], [5], [6]]).astype(int)
    hidden = other({"token_ids": TOKENS, "padding_mask": mask})
    expected = other.token_embedding(hidden, reverse=True)
    np.testing.assert_allclose(logits(model, mask=mask), expected, atol=1e-4)


def test_weights_start_as_published():
    keras.utils.set_random_seed(0)
    model = decoder("gpt2_small", vocabulary=500, max_length=200, layers=2, heads=4, width=64)
    spreads = {weight.path: np.std(weight) for weight in model.weights}
    assert len(spreads) == 2 + 2 * 16 + 2
    for path, spread in spreads.items():
        if path.endswith(("bias", "beta", "gamma")):
            expected = 0.0
        elif path.startswith("position"):
            expected = 0.01
        elif "attention_output" in path or "feed_forward_outer" in path:
            expected = 0.02 / np.sqrt(2 * 2)
        else:
            expected = 0.02
        assert spread == pytest.approx(expected, rel=0.05), path


def test_dropout_is_the_published_one():
    model = decoder(**SMALL)
    config = model.get_layer("layer_1").get_config()
    assert model.get_layer("embedding_dropout").rate == 0.1
    assert (config["dropout"], config["attention_dropout"]) == (0.1, 0.1)


def test_a_prediction_depends_on_earlier_tokens_alone(model):
    changed = [np.where(one, (TOKENS + 1) % 11, TOKENS) for one in np.eye(7)]
    after = logits(model, np.concatenate(changed)).reshape(7, 3, 7, 11)
    change = np.abs(after - logits(model)).max(-1)
    for position in range(7):
        assert change[position, :, :position].max(initial=0) < 1e-5
        assert change[position, :, position:].min() > 1e-4


def test_padding_changes_nothing(model):
    wider = np.pad(TOKENS, ((0, 0), (0, 1)), constant_values=7)
    mask = np.pad(np.ones_like(TOKENS), ((0, 0), (0, 1)))
    np.testing.assert_allclose(logits(model, wider, mask)[:, :7], logits(model), atol=1e-5)


@pytest.mark.parametrize("known", [1, 4])
def test_decoding_with_a_cache_equals_computing_everything_again(model, known):
    expected = logits(model)
    # Values after the prompt do not matter.
    prompt = np.where(np.arange(7) < known, TOKENS, 10 - TOKENS)
    step = next_token(model)
    for one in (step, tf.function(step)):
        cache = prefill(model, prompt)
        for index in range(known, 8):
            answer, features, cache = one(TOKENS, cache, tf.constant(index))
            np.testing.assert_allclose(answer, expected[:, index - 1], atol=1e-4)
            assert features.shape == (3, 8)


SAMPLERS = {
    "greedy": keras_hub.samplers.GreedySampler,
    "the best of one": lambda: keras_hub.samplers.TopKSampler(1),
    "all of no probability": lambda: keras_hub.samplers.TopPSampler(1e-6),
    "one beam": lambda: keras_hub.samplers.BeamSampler(1),
}


@pytest.fixture(scope="module")
def written(model):
    """What greedy decoding gives, each token from a computation of its own."""
    tokens = TOKENS.copy()
    for index in range(3, 7):
        tokens[:, index] = logits(model, tokens[:, :index])[:, -1].argmax(-1)
    return tokens


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_that_leave_no_choice_write_what_greedy_recomputation_writes(model, written, name):
    prompt, cache = TOKENS.astype("int32"), prefill(model, TOKENS)
    answer = SAMPLERS[name]()(next_token(model), prompt, cache, index=3, model=model)
    np.testing.assert_array_equal(answer, written)


def test_prompts_of_several_lengths_are_continued_side_by_side_in_a_graph(model):
    mask = np.arange(7) < [[2], [4], [3]]
    sampler = keras_hub.samplers.GreedySampler()

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def generate(prompt, mask):
        return sampler(
            next_token(model), prompt, prefill(model, prompt), index=2, mask=mask, model=model
        )

    together = generate(TOKENS, mask).numpy()
    np.testing.assert_array_equal(together[mask], TOKENS[mask])
    for row in range(3):
        alone = generate(TOKENS[row : row + 1], mask[row : row + 1]).numpy()
        np.testing.assert_array_equal(alone[0], together[row])


def test_sampling_follows_the_probabilities(model):
    """Of 2,000 samples, frequencies match the probabilities of the 3 most probable tokens."""
    prompt = np.repeat(TOKENS[:1, :3], 2000, 0).astype("int32")
    chances = np.asarray(tf.nn.softmax(logits(model, TOKENS[:1, :2])[0, -1]))
    best = np.argsort(-chances)[:3]
    sampler = keras_hub.samplers.TopKSampler(3, seed=1)
    sampled = sampler(next_token(model), prompt, prefill(model, prompt), index=2, model=model)[:, 2]
    counted = np.bincount(sampled, minlength=11) / 2000
    expected = np.zeros(11)
    expected[best] = chances[best] / chances[best].sum()
    np.testing.assert_allclose(counted, expected, atol=0.04)


def test_attention_maps_look_back_only(model):
    maps = attention_maps(model)({"token_ids": TOKENS, "padding_mask": np.ones_like(TOKENS)})
    assert set(maps) == {"layer_1_self_attention", "layer_2_self_attention"}
    for weights in maps.values():
        assert weights.shape == (3, 2, 7, 7)
        np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-5)
        np.testing.assert_array_equal(np.triu(weights, 1), 0)
        assert np.asarray(weights)[..., np.tril(np.ones((7, 7), bool))].all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": "gpt3"}, "size must be one of 'gpt2_small', .*, 'char_small', not 'gpt3'"),
        ({"heads": 3}, "width must be a multiple of heads, 3, not 8"),
        ({"vocabulary": 0}, "vocabulary must be positive integers, not 0"),
        ({"max_length": None}, "max_length must be positive integers, not None"),
        ({"dropout": -0.1}, r"dropout must be a number in \[0, 1\), not -0.1"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_wrong_hyperparameter_raises_one_sentence(changed, message):
    with pytest.raises(ValueError, match=f"^decoder: {message}$"):
        decoder(**{**SMALL, **changed})
