"""The Transformer: published sizes, what it sees and what not, decoding step by step."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from architectures.attention import attention_maps
from architectures.counting import count_parameters
from architectures.transformer import encode, next_token, transformer
from tests.architectures import reference

VOCABULARY = {"source_vocabulary": 37_000, "target_vocabulary": 37_000}
SMALL: dict[str, Any] = {
    "source_vocabulary": 11,
    "target_vocabulary": 11,
    "layers": 2,
    "heads": 2,
    "width": 8,
    "feed_forward": 12,
}
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(0, 11, (3, 6))
SOURCE_MASK = (np.arange(6) < [[6], [4], [5]]).astype(int)
TARGET = RANDOM.integers(0, 11, (3, 5))


@pytest.fixture(scope="module", params=["post", "pre"])
def model(request):
    return reference.shaken(transformer(norm=request.param, **SMALL))


def batch(source=SOURCE, source_mask=SOURCE_MASK, target=TARGET, target_mask=None):
    return {
        "source_ids": source,
        "source_padding_mask": source_mask,
        "target_ids": target,
        "target_padding_mask": np.ones_like(target) if target_mask is None else target_mask,
    }


def logits(model, **parts):
    return np.asarray(model(batch(**parts)))


def changed_at_each_position(tokens):
    """Returns [positions * batch, positions]: all tokens but one stay."""
    return np.concatenate(
        [np.where(one, (tokens + 1) % 11, tokens) for one in np.eye(len(tokens.T))]
    )


@pytest.mark.parametrize(
    ("size", "blocks", "total"),
    [("base", 44_138_496, 63_082_496), ("big", 176_357_376, 214_245_376)],
)
def test_published_sizes_have_the_parameters_that_the_description_gives(size, blocks, total):
    assert count_parameters(transformer, size, **VOCABULARY).total == total
    one_token = {"source_vocabulary": 1, "target_vocabulary": 1}
    width = {"base": 512, "big": 1024}[size]
    assert count_parameters(transformer, size, **one_token).total == blocks + width


def test_normalising_first_adds_a_normalization_at_the_end_of_either_stack():
    assert count_parameters(transformer, norm="pre", **VOCABULARY).total == 63_082_496 + 2 * 1024


def test_separate_vocabularies_have_a_table_each_and_the_output_shares_the_second():
    separate = {"source_vocabulary": 30_000, "target_vocabulary": 20_000}
    counted = count_parameters(transformer, share_embeddings=False, **separate)
    assert counted.total == 44_138_496 + 50_000 * 512


def test_positions_are_the_published_sinusoids_also_in_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = transformer(**SMALL).get_layer("positions")
    finally:
        keras.config.set_dtype_policy("float32")
    positions = layer(np.zeros((1, 7, 8), "float32"), start_index=994)
    expected = reference.sinusoids(range(994, 1001), 8)
    # 1e-4 is what float32 leaves of an angle of 1000.
    np.testing.assert_allclose(positions[0], expected, atol=1e-4)


def test_embeddings_are_scaled_before_positions_are_added():
    model = transformer(**SMALL)
    (table,) = model.get_layer("embedding").get_weights()
    embedded = keras.Model(model.input, model.get_layer("encoder_layer_1").input[0])(batch())
    expected = table[SOURCE] * np.sqrt(8) + reference.sinusoids(range(6), 8)
    np.testing.assert_allclose(embedded, expected, atol=1e-5)


def test_embeddings_start_so_that_scaled_ones_have_unit_variance():
    keras.utils.set_random_seed(0)
    model = transformer(source_vocabulary=500, target_vocabulary=500, layers=1, width=64)
    (table,) = model.get_layer("embedding").get_weights()
    assert np.std(table) * np.sqrt(64) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(("size", "published"), [("base", 0.1), ("big", 0.3)])
def test_dropout_is_the_published_one(size, published):
    model = transformer(size, **{**SMALL, "layers": 1})
    assert model.get_layer("embedding_dropout").rate == published
    for side in ("encoder", "decoder"):
        config = model.get_layer(f"{side}_layer_1").get_config()
        assert (config["dropout"], config["attention_dropout"]) == (published, 0)


def test_dropout_acts_in_training_alone():
    model = transformer(**SMALL)
    once, again = (np.asarray(model(batch(), training=True)) for _ in range(2))
    assert np.abs(once - again).max() > 1e-3
    np.testing.assert_array_equal(model(batch()), model(batch(), training=False))


def test_a_prediction_depends_on_earlier_target_tokens_alone(model):
    parts = {"source": np.tile(SOURCE, (5, 1)), "source_mask": np.tile(SOURCE_MASK, (5, 1))}
    after = logits(model, **parts, target=changed_at_each_position(TARGET)).reshape(5, 3, 5, 11)
    change = np.abs(after - logits(model)).max(-1)
    for position in range(5):
        assert change[position, :, :position].max(initial=0) < 1e-5
        assert change[position, :, position:].min() > 1e-4


def test_a_prediction_depends_on_every_source_token_but_padding(model):
    parts = {"target": np.tile(TARGET, (6, 1)), "source_mask": np.tile(SOURCE_MASK, (6, 1))}
    after = logits(model, **parts, source=changed_at_each_position(SOURCE)).reshape(6, 3, 5, 11)
    change = np.abs(after - logits(model)).max((-1, -2))
    np.testing.assert_array_equal(change > 1e-4, SOURCE_MASK.T)


def test_source_padding_changes_nothing(model):
    wider, mask = (np.pad(part, ((0, 0), (0, 3))) for part in (SOURCE, SOURCE_MASK))
    padded = logits(model, source=wider, source_mask=mask)
    np.testing.assert_allclose(padded, logits(model), atol=1e-5)


def test_target_padding_changes_nothing(model):
    wider = np.pad(TARGET, ((0, 0), (0, 3)), constant_values=7)
    mask = np.pad(np.ones_like(TARGET), ((0, 0), (0, 3)))
    padded = logits(model, target=wider, target_mask=mask)
    np.testing.assert_allclose(padded[:, :5], logits(model), atol=1e-5)


def test_decoding_with_a_cache_equals_computing_everything_again(model):
    expected = logits(model)
    step = next_token(model)
    compiled = tf.function(step)
    for one in (step, compiled):
        cache = encode(model, SOURCE, SOURCE_MASK, length=5)
        for index in range(1, 6):
            answer, features, cache = one(TARGET, cache, tf.constant(index))
            np.testing.assert_allclose(answer, expected[:, index - 1], atol=1e-4)
            assert features.shape == (3, 8)


SAMPLERS = {
    "greedy": keras_hub.samplers.GreedySampler,
    "the best of one": lambda: keras_hub.samplers.TopKSampler(1),
    "all of no probability": lambda: keras_hub.samplers.TopPSampler(1e-6),
    "one beam": lambda: keras_hub.samplers.BeamSampler(1),
}


@pytest.fixture(scope="module")
def written():
    """A model and what greedy decoding gives, each token from a computation of its own."""
    model = reference.shaken(transformer(**SMALL))
    target = np.zeros((3, 5), "int32")
    for index in range(1, 5):
        target[:, index] = logits(model, target=target[:, :index])[:, -1].argmax(-1)
    return model, target


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_that_leave_no_choice_write_what_greedy_recomputation_writes(written, name):
    model, expected = written
    cache = encode(model, SOURCE, SOURCE_MASK, length=5)
    prompt = np.zeros((3, 5), "int32")
    answer = SAMPLERS[name]()(next_token(model), prompt, cache, index=1, model=model)
    np.testing.assert_array_equal(answer, expected)


def test_beams_in_a_graph_of_any_shape_find_the_most_probable_sentence():
    """With as many beams as there are sentences, nothing is missed."""
    few = {"source_vocabulary": 4, "target_vocabulary": 4, "layers": 1}
    model = reference.shaken(transformer(**{**SMALL, **few}))
    sampler = keras_hub.samplers.BeamSampler(num_beams=16, return_all_beams=True)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 3)
    def translate(source, mask, prompt):
        cache = encode(model, source, mask, tf.shape(prompt)[1])
        return sampler(next_token(model), prompt, cache, index=1, model=model)

    source = SOURCE % 4
    prompts, scores = translate(source, SOURCE_MASK, np.zeros((3, 3)))
    sentences = np.array([[0, first, second] for first in range(4) for second in range(4)])
    for row in range(3):
        every = logits(
            model,
            source=np.tile(source[row], (16, 1)),
            source_mask=np.tile(SOURCE_MASK[row], (16, 1)),
            target=sentences,
        )
        chances = np.asarray(tf.nn.log_softmax(every))
        one, two = sentences[:, 1], sentences[:, 2]
        expected = chances[range(16), 0, one] + chances[range(16), 1, two]
        best = np.argsort(-expected)
        np.testing.assert_array_equal(prompts[row], sentences[best])
        np.testing.assert_allclose(scores[row], expected[best], atol=1e-4)


def test_attention_maps_show_what_masks_allow_and_leave_the_model_as_it_was(model, tmp_path):
    before = logits(model)
    maps = attention_maps(model)(batch())
    shapes = {name: weights.shape for name, weights in maps.items()}
    assert shapes == {
        f"{layer}_layer_{number}_{kind}": (3, 2, queries, keys)
        for layer, kind, queries, keys in (
            ("encoder", "self_attention", 6, 6),
            ("decoder", "self_attention", 5, 5),
            ("decoder", "cross_attention", 5, 6),
        )
        for number in (1, 2)
    }
    for name, weights in maps.items():
        np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-5)
        if name.startswith("decoder") and name.endswith("self_attention"):
            forbidden = np.triu(np.ones((5, 5), bool), 1)
        else:
            forbidden = ~SOURCE_MASK.astype(bool)[:, None, None, :]
        forbidden = np.broadcast_to(forbidden, weights.shape)
        assert not np.asarray(weights)[forbidden].any()
        assert np.asarray(weights)[~forbidden].all()
    np.testing.assert_array_equal(logits(model), before)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(keras.saving.load_model(tmp_path / "model.keras")), before)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": "huge"}, "size must be one of 'base', 'big', not 'huge'"),
        ({"norm": "none"}, "norm must be one of 'post', 'pre', not 'none'"),
        ({"width": 10, "heads": 4}, "width must be a multiple of heads, 4, not 10"),
        ({"layers": 0}, "layers must be positive integers, not 0"),
        ({"feed_forward": 2.5}, "feed_forward must be positive integers, not 2.5"),
        ({"source_vocabulary": "x"}, "source_vocabulary must be positive integers, not 'x'"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), not 1.0"),
        (
            {"source_vocabulary": 12},
            "share_embeddings needs vocabularies of one size, not 12 and 11",
        ),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_wrong_hyperparameter_raises_one_sentence(changed, message):
    with pytest.raises(ValueError, match=f"^transformer: {message}$"):
        transformer(**{**SMALL, **changed})
