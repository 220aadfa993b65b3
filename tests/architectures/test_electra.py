"""ELECTRA's joint training: shared embeddings, draws, and what each loss reaches."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from architectures import bert
from architectures.counting import abstract
from architectures.electra import _Corrupt, electra_generator, electra_pretraining
from architectures.heads import masked_lm, replaced_token_detector
from tests.architectures.encoder_reference import TINY, ask, batch, scramble, tiny

EMBEDDINGS = {
    "token_embedding/embeddings",
    "position_embedding/embeddings",
    "segment_embedding/embeddings",
    "embeddings_layer_norm/gamma",
    "embeddings_layer_norm/beta",
}


def pair(divisor: int = 2, **overrides):
    discriminator = tiny("electra", **overrides)
    generator = masked_lm(electra_generator(discriminator, divisor=divisor))
    detector = replaced_token_detector(discriminator)
    scramble(generator, seed=1)
    scramble(detector, seed=2)
    return generator, detector


def test_generator_and_discriminator_share_their_embeddings_and_nothing_else():
    generator, detector = pair()
    shared = {id(weight) for weight in generator.weights} & {id(w) for w in detector.weights}
    assert {weight.path for weight in detector.weights if id(weight) in shared} == EMBEDDINGS

    inputs = batch(generator)
    before = ask(generator, inputs), ask(detector, inputs)
    generator.get_layer("token_embedding").embeddings.assign_add(np.eye(13, 6))
    after = ask(generator, inputs), ask(detector, inputs)
    for old, new in zip(before, after, strict=True):
        assert np.abs(old - new).max() > 1e-3


@pytest.mark.parametrize(("size", "divisor"), [("small", 4), ("base", 3)])
def test_a_published_pair_has_one_set_of_embeddings(size, divisor):
    with abstract():
        discriminator = bert.electra(size)
        generator = electra_generator(discriminator, divisor=divisor)
        detector = replaced_token_detector(discriminator)
        joint = electra_pretraining(masked_lm(generator), detector).count_params()
        # From the sizes of the paper's table 6.
        embedding, width, inner = {"small": (128, 64, 256), "base": (768, 256, 1024)}[size]
        layer = 4 * width * (width + 1) + 4 * width + 2 * width * inner + inner + width
        tables = (30522 + 512 + 2) * embedding + 2 * embedding
        own = embedding * width + width + 12 * layer
        assert generator.count_params() == tables + own
        head = width * embedding + 3 * embedding + 30522
        assert joint == detector.count_params() + own + head
        # The same encoder, as keras_hub counts it: with a pooler.
        if size == "base":
            assert generator.count_params() + width * width + width == 33_576_960


def test_the_projection_is_left_out_where_the_widths_agree():
    names = [
        {layer.name for layer in electra_generator(tiny("electra", **sizes), divisor=2).layers}
        for sizes in ({}, {"embedding": 4})
    ]
    assert ["generator_projection" in one for one in names] == [True, False]


def test_the_joint_model_is_generator_draw_and_detector():
    generator, detector = pair()
    model = electra_pretraining(generator, detector, seed=3)
    inputs = batch(model)
    answer = model(inputs, training=False)
    filled = ask(generator, inputs)
    np.testing.assert_allclose(answer["masked_lm"], filled, rtol=1e-5, atol=1e-6)
    judged = ask(detector, {**inputs, "token_ids": answer["corrupted_ids"]})
    np.testing.assert_allclose(answer["replaced_token"], judged, rtol=1e-5, atol=1e-6)
    assert answer["replaced_token"].dtype == "float32"
    assert answer["corrupted_ids"].dtype == "int32"


def test_only_masked_tokens_are_replaced_and_the_first_never():
    layer = _Corrupt(seed=0)
    ids = np.array([[7, 8, 9, 10], [4, 5, 6, 7]], "int32")
    positions = np.array([[1, 3], [2, 0]], "int32")
    certain = np.full((2, 2, 13), -1e4, "float32")
    certain[:, 0, 11] = certain[:, 1, 12] = 0
    sampled = layer(ids, positions, certain)
    np.testing.assert_array_equal(sampled, [[7, 11, 9, 12], [4, 5, 11, 7]])


def test_samples_follow_the_generator():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], "float32"))
    layer = _Corrupt(seed=0)
    ids, positions = np.full((5000, 2), 9, "int32"), np.ones((5000, 1), "int32")
    sampled = layer(ids, positions, np.tile(logits, (5000, 1, 1))).numpy()
    frequencies = np.bincount(sampled[:, 1], minlength=4) / 5000
    np.testing.assert_allclose(frequencies, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    again = layer(ids, positions, np.tile(logits, (5000, 1, 1))).numpy()
    assert np.any(again != sampled)
    same = _Corrupt(seed=0)(ids, positions, np.tile(logits, (5000, 1, 1)))
    np.testing.assert_array_equal(same, sampled)


def test_the_detectors_loss_does_not_reach_the_generator():
    generator, detector = pair()
    model = electra_pretraining(generator, detector, seed=3)
    inputs = batch(model)
    weights = [weight.value for weight in model.trainable_weights]
    with tf.GradientTape(persistent=True) as tape:
        answer = model(inputs, training=True)
        random = np.random.default_rng(0)
        losses = {
            name: tf.reduce_sum(answer[name] * random.normal(size=answer[name].shape))
            for name in ("masked_lm", "replaced_token")
        }
    reached = {
        name: {
            weight.path
            for weight, gradient in zip(
                model.trainable_weights, tape.gradient(loss, weights), strict=True
            )
            if gradient is not None and np.any(tf.convert_to_tensor(gradient))
        }
        for name, loss in losses.items()
    }
    assert reached["masked_lm"] & reached["replaced_token"] == EMBEDDINGS
    assert reached["masked_lm"] | reached["replaced_token"] == {
        weight.path for weight in model.trainable_weights
    }
    assert not {path for path in reached["replaced_token"] if path.startswith("generator")}


def test_the_joint_model_comes_back_from_a_file_with_its_ties(tmp_path):
    model = electra_pretraining(*pair(), seed=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = batch(model)
    answer, expected = loaded(inputs), model(inputs)
    for name in expected:
        np.testing.assert_array_equal(answer[name], expected[name])
    for one in (loaded, keras.models.clone_model(model)):
        assert one.count_params() == model.count_params()
        assert len(one.weights) == len(model.weights)


def test_a_wrong_hyperparameter_raises_one_sentence():
    discriminator = bert.electra("small", **{**TINY, "embedding": 6})
    with pytest.raises(ValueError, match="divisor must divide hidden_dim, which is 8, and 3 does"):
        electra_generator(discriminator, divisor=3)
    other, _ = pair()
    with pytest.raises(ValueError, match="generator and detector must share their embeddings"):
        electra_pretraining(other, replaced_token_detector(discriminator))
