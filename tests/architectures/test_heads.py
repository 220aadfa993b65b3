"""The heads: published sizes, the equations in NumPy, ties, pooling over real tokens, float32."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from architectures import bert, heads
from architectures.counting import count_parameters
from tests.architectures.encoder_reference import (
    FAMILIES,
    TINY,
    ask,
    batch,
    encode,
    gelu,
    hidden_of,
    keras_weights,
    linear,
    normalize,
    scramble,
    tiny,
)


def over(head, encoder_builder=bert.bert, size: str = "base", **options) -> int:
    return count_parameters(lambda: head(encoder_builder(size), **options)).total


def test_published_heads_have_their_parameters():
    assert over(heads.classifier, classes=2) == 109_483_778
    assert over(heads.masked_lm, sentence_task="next_sentence") == 110_106_428
    assert over(heads.masked_lm, size="large", sentence_task="next_sentence") == 336_226_108
    assert over(heads.replaced_token_detector, bert.electra, "small") == 13_549_057
    assert over(heads.replaced_token_detector, bert.electra) == 109_483_009


def test_what_a_head_does_not_read_is_not_part_of_its_model():
    """BERT's pooler has 590,592 parameters."""
    assert over(heads.token_classifier, labels=9) == 108_898_569
    assert over(heads.span_finder) == 108_893_186
    assert over(heads.masked_lm) == 109_514_298
    assert over(heads.classifier, classes=2, pooling="mean") == 108_893_186


def dense_of(model: keras.Model, name: str):
    return [weight.numpy() for weight in model.get_layer(name).weights]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_token_passes_the_pooler_of_its_paper(family):
    encoder = tiny(family)
    model = heads.classifier(encoder, classes=3, dropout=0.0)
    scramble(model, seed=1)
    inputs = batch(model)
    first = np.array(hidden_of(encoder(inputs, training=False)))[:, 0]
    if family != "electra":
        first = linear(first, dense_of(model, "pooled_dense"))
        first = np.maximum(first, 0) if family == "distilbert" else np.tanh(first)
    expected = linear(first, dense_of(model, "logits"))
    np.testing.assert_allclose(model(inputs, training=False), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("pooling", "pool"), [("mean", np.mean), ("max", np.max)])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_pooling_sees_real_tokens_only(family, pooling, pool):
    encoder = tiny(family)
    model = heads.classifier(encoder, classes=3, pooling=pooling, dropout=0.0)
    scramble(model, seed=1)
    inputs = batch(model)
    lengths = inputs["padding_mask"].sum(axis=1)
    assert lengths.min() < lengths.max()
    hidden = np.array(hidden_of(encoder(inputs, training=False)))
    pooled = [pool(states[:length], axis=0) for states, length in zip(hidden, lengths, strict=True)]
    expected = linear(np.stack(pooled), dense_of(model, "logits"))
    np.testing.assert_allclose(model(inputs, training=False), expected, rtol=1e-4, atol=1e-5)


def test_tokens_and_spans_are_read_from_the_hidden_states():
    encoder = tiny("bert")
    tagger, finder = heads.token_classifier(encoder, labels=4), heads.span_finder(encoder)
    scramble(tagger, seed=1)
    inputs = batch(encoder)
    hidden = np.array(hidden_of(encoder(inputs, training=False)))
    labels = linear(hidden, dense_of(tagger, "logits"))
    np.testing.assert_allclose(tagger(inputs), labels, rtol=1e-4, atol=1e-5)
    ends = linear(hidden, dense_of(finder, "logits"))
    spans = finder(inputs)
    assert set(spans) == {"start", "end"}
    np.testing.assert_allclose(spans["start"], ends[..., 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spans["end"], ends[..., 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_masked_language_model_is_the_equations_written_out(family):
    encoder = tiny(family)
    model = heads.masked_lm(encoder)
    scramble(model, seed=1)
    inputs = batch(model)
    weights = keras_weights(encoder)
    hidden, _ = encode(weights, inputs, family=family, heads=TINY["heads"])
    x = np.take_along_axis(hidden, inputs["mask_positions"][:, :, None], axis=1)
    x = gelu(
        linear(x, dense_of(model, "masked_lm_dense")), exact=family in ("roberta", "distilbert")
    )
    epsilon = 1e-5 if family == "roberta" else 1e-12
    x = normalize(x, dense_of(model, "masked_lm_norm"), epsilon)
    (bias,) = dense_of(model, "masked_lm")
    logits = model(inputs, training=False)
    assert logits.shape == (3, 2, TINY["vocabulary"])
    np.testing.assert_allclose(logits, x @ weights["token"].T + bias, rtol=1e-4, atol=1e-5)


def test_a_head_starts_as_published():
    keras.utils.set_random_seed(0)
    encoder = bert.bert(**{**TINY, "width": 48, "vocabulary": 500})
    model = heads.masked_lm(encoder, sentence_task="next_sentence")
    kernel, bias = dense_of(model, "masked_lm_dense")
    assert np.abs(kernel).max() <= 0.04
    assert abs(kernel.std() / 0.0176 - 1) < 0.1
    assert not bias.any()
    assert not dense_of(model, "masked_lm")[0].any()
    assert model.get_layer("masked_lm_norm").epsilon == 1e-12
    assert 0 < np.abs(dense_of(model, "next_sentence")[0]).max() <= 0.04


@pytest.mark.parametrize("task", ["next_sentence", "sentence_order"])
def test_a_sentence_task_reads_the_pooler(task):
    encoder = tiny("albert")
    model = heads.masked_lm(encoder, sentence_task=task)
    scramble(model, seed=1)
    inputs = batch(model)
    answer = model(inputs, training=False)
    assert set(answer) == {"masked_lm", task}
    pooled = ask(encoder, inputs)["pooled_output"].numpy()
    np.testing.assert_allclose(
        answer[task], linear(pooled, dense_of(model, task)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_decoder_is_the_embedding_also_after_saving_and_cloning(family, tmp_path):
    encoder = tiny(family)
    model = heads.masked_lm(encoder)
    inputs = batch(model)
    embeddings = encoder.token_embedding.embeddings
    shape = (TINY["vocabulary"], embeddings.shape[1])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), np.array(model(inputs)))
    for one in (model, loaded, keras.models.clone_model(model)):
        assert [weight.shape for weight in one.weights].count(shape) == 1
        assert one.count_params() == model.count_params()

    # A token that is not in the input is known to the decoder alone.
    absent = min(set(range(TINY["vocabulary"])) - set(inputs["token_ids"].ravel()))
    before = model(inputs, training=False).numpy()
    changed = embeddings.numpy()
    changed[absent, 0] += 1
    embeddings.assign(changed)
    moved = np.abs(model(inputs, training=False).numpy() - before).max(axis=(0, 1)) > 1e-4
    assert moved.nonzero()[0].tolist() == [absent]


def test_the_gradient_reaches_the_embedding_through_the_decoder():
    model = heads.masked_lm(tiny("bert"))
    inputs = batch(model)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.nn.log_softmax(model(inputs, training=True))[:, :, 0])
    embeddings = model.get_layer("token_embedding").embeddings
    gradient = tf.convert_to_tensor(tape.gradient(loss, embeddings.value)).numpy()
    absent = set(range(TINY["vocabulary"])) - set(inputs["token_ids"].ravel())
    assert absent
    assert np.abs(gradient).max(axis=1).min() > 1e-6


HEADS = {
    "classifier": lambda encoder: heads.classifier(encoder, classes=3),
    "mean": lambda encoder: heads.classifier(encoder, classes=3, pooling="mean"),
    "token_classifier": lambda encoder: heads.token_classifier(encoder, labels=4),
    "span_finder": heads.span_finder,
    "masked_lm": lambda encoder: heads.masked_lm(encoder, sentence_task="next_sentence"),
    "replaced_token_detector": heads.replaced_token_detector,
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_answers_float32_under_mixed_precision(head):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = HEADS[head](tiny("bert"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("transformer_layer_0").compute_dtype == "bfloat16"
    exact = HEADS[head](tiny("bert"))
    exact.set_weights(model.get_weights())
    inputs = batch(model)
    answers, expected = (keras.tree.flatten(one(inputs, training=False)) for one in (model, exact))
    for answer, precise in zip(answers, expected, strict=True):
        assert answer.dtype == "float32"
        assert 0 < np.abs(answer - precise).max() < 0.2


@pytest.mark.parametrize("head", HEADS)
def test_a_head_compiles_saves_and_trains_all_its_weights(head, tmp_path):
    model = HEADS[head](tiny("bert"))
    scramble(model, seed=1)
    inputs = batch(model)
    expected = keras.tree.flatten(model(inputs, training=False))

    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.count_params() == model.count_params()
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    for answers in (compiled(tensors), loaded(inputs, training=False)):
        for answer, reference in zip(keras.tree.flatten(answers), expected, strict=True):
            np.testing.assert_allclose(answer, reference, rtol=1e-4, atol=1e-5)

    with tf.GradientTape() as tape:
        answers = keras.tree.flatten(model(inputs, training=False))
        random = np.random.default_rng(0)
        loss = sum(tf.reduce_sum(x * random.normal(size=x.shape)) for x in answers)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, f"{weight.path} gets no gradient"
        assert np.any(tf.convert_to_tensor(gradient)), f"{weight.path} gets a gradient of zero"


def test_heads_share_the_weights_of_their_encoder():
    encoder = tiny("roberta")
    tagger, language_model = heads.token_classifier(encoder, labels=2), heads.masked_lm(encoder)
    shared = {id(weight) for weight in encoder.weights}
    for model in (tagger, language_model):
        assert shared <= {id(weight) for weight in model.weights}


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: heads.classifier(tiny("bert"), classes=0), "classes must be positive"),
        (
            lambda: heads.classifier(tiny("bert"), classes=2, pooling="sum"),
            "classifier: pooling must be one of 'cls', 'mean', 'max', not 'sum'",
        ),
        (lambda: heads.token_classifier(tiny("bert"), labels=2, dropout=1), r"in \[0, 1\)"),
        (lambda: heads.masked_lm(tiny("bert"), sentence_task="x"), "sentence_task must be one"),
        (
            lambda: heads.masked_lm(tiny("roberta"), sentence_task="next_sentence"),
            "next_sentence needs an encoder with a pooler, which roberta lacks",
        ),
    ],
)
def test_a_wrong_hyperparameter_raises_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
