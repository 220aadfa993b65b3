"""Signatures of translation: the served graph translates as the trained network."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.evaluation import predict, scores_of
from pipelines.export import ops
from pipelines.export.saved_model import saved_model
from pipelines.export.validation import validate
from pipelines.task import Network
from pipelines.tasks.translation.task import Translation
from tests.architectures import reference
from tests.pipelines.tasks.translation import examples


@pytest.mark.parametrize(
    "architecture",
    [pytest.param("transformer_base", marks=pytest.mark.slow), "lstm_seq2seq"],
)
def test_a_served_model_answers_as_the_trained_one(architecture, tmp_path, at_once):
    # An untrained network would end at once without a strong penalty of short texts.
    task = Translation(examples.config(architecture, length_penalty=5.0))
    data = examples.loaded(task.config)
    keras.utils.set_random_seed(2)  # Not all initial weights give several translations.
    model = reference.shaken(task.network(data).model)
    signatures = task.signatures(Network(model), data)
    assert [signature.name for signature in signatures] == ["serving_default", "token_ids"]
    folder = saved_model(model, signatures, tmp_path / "saved", examples=task.examples(data))
    validate(folder, signatures)
    served = tf.saved_model.load(folder).signatures["serving_default"]
    texts = [*data.raw("test")["source"], "", " \n", "日本語 never seen", "one two " * 200]
    found = {name: x.numpy() for name, x in served(text=tf.constant(texts)).items()}
    assert {name: x.shape for name, x in found.items()} == {
        **{"translation": (28,), "score": (28,), "translations": (28, 3), "scores": (28, 3)}
    }
    np.testing.assert_array_equal(found["translation"], found["translations"][:, 0])
    np.testing.assert_array_equal(found["score"], found["scores"][:, 0])
    assert (np.diff(found["scores"], axis=1) <= 0).all()
    expected = predict(task, model, data, "test")
    np.testing.assert_array_equal(found["translation"][:24], expected.predicted["translation"])
    np.testing.assert_allclose(found["score"][:24], expected.predicted["score"], atol=1e-4)
    assert len(set(found["translation"])) > 2
    for row in (24, 25):  # Empty sources.
        assert not any(found["translations"][row])
        assert not found["scores"][row].any()
    for row in (0, 7, 26, 27):  # Each alone as in the batch.
        alone = {
            name: x.numpy() for name, x in served(text=tf.constant(texts[row : row + 1])).items()
        }
        np.testing.assert_array_equal(alone["translations"][0], found["translations"][row])
        np.testing.assert_allclose(alone["scores"][0], found["scores"][row], atol=1e-4)


def test_letters_and_phones_take_no_ops_but_tensorflow_s(tmp_path, at_once):
    task = Translation(examples.config(source_tokens="characters", target_tokens="words"))
    data = examples.loaded(task.config)
    assert data.source_tokenizer is not data.target_tokenizer
    assert (task.metric, task.greater_is_better) == ("token_error_rate", False)
    model = reference.shaken(task.network(data).model)
    signatures = task.signatures(Network(model), data)
    folder = saved_model(model, signatures, tmp_path / "saved")
    validate(folder, signatures)
    assert not ops.text_ops(ops.ops(folder))
    predictions = predict(task, model, data, "validation")
    assert {"token_error_rate", "exact_match", "bleu", "chrf"} <= scores_of(
        task, predictions, data
    ).keys()


def test_token_ids_alone_need_no_text_ops(tmp_path, at_once):
    task = Translation(examples.config(text_signature=False))
    data = examples.loaded(task.config)
    network = task.network(data)
    (signature,) = signatures = task.signatures(network, data)
    assert (signature.name, list(signature.inputs)) == (
        "serving_default",
        ["token_ids", "padding_mask"],
    )
    assert signature.expected["token_ids"].shape[1:] == (3, 24)
    folder = saved_model(network.model, signatures, tmp_path / "saved")
    assert not ops.text_ops(ops.ops(folder))
