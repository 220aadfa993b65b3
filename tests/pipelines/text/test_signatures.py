"""Signatures of tasks on text: strings, token ids of any length, and both."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from architectures import heads
from pipelines.text.signatures import (
    as_default,
    encode_strings,
    from_texts,
    string_signature,
    token_signature,
)
from pipelines.text.tokenizers import SPECIAL, WordPieces
from tests.pipelines.text.encoders import batch, build, task

TOKENIZER = WordPieces([*SPECIAL, "red", "tree"], 8)


def count(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {"tokens": tf.reduce_sum(inputs["padding_mask"], 1)}


def test_strings_are_a_signature():
    expected = {"tokens": np.array([3, 2], np.int32)}
    columns = {"text": np.array(["red", ""], object)}
    signature = string_signature(
        "count", from_texts(count, TOKENIZER), columns, expected, TOKENIZER
    )
    assert signature.name == "count"
    assert signature.resources == TOKENIZER.resources
    assert signature.examples["text"].tolist() == [b"red", b""]
    (spec,) = signature.inputs.values()
    assert (spec.dtype, tuple(spec.shape)) == (tf.string, (None,))
    answer = signature.function(tf.constant(signature.examples["text"]))
    assert answer["tokens"].numpy().tolist() == [3, 2]
    graph = tf.function(signature.function, input_signature=[tf.TensorSpec(None, tf.string)])
    for wrong in (tf.constant("red"), tf.constant([["red"]])):
        with pytest.raises(tf.errors.InvalidArgumentError):
            graph(wrong)


def test_two_texts_are_read_as_a_pair():
    of_pairs = from_texts(count, TOKENIZER)
    assert of_pairs(tf.constant(["red tree"]), tf.constant(["tree"]))["tokens"].numpy() == [6]


def test_strings_may_be_bytes_already():
    assert encode_strings(["Łódź", "a"]).tolist() == ["Łódź".encode(), b"a"]
    assert encode_strings(np.array([b"a", b""], object)).tolist() == [b"a", b""]
    assert encode_strings([]).dtype == object


def test_token_ids_are_a_signature_of_any_length():
    model = heads.classifier(build("bert"), classes=2)
    inputs = batch(model)
    expected = {"logits": model(inputs).numpy()}

    def answer(given: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"logits": model(given)}

    signature = token_signature("token_ids", answer, inputs, expected)
    assert signature.name == "token_ids"
    assert not signature.resources
    assert signature.inputs.keys() == signature.examples.keys() == set(model.input)
    assert {(spec.dtype, tuple(spec.shape)) for spec in signature.inputs.values()} == {
        (tf.int32, (None, None))
    }
    # Arguments come in the order of the inputs.
    order = [signature.examples[name] for name in signature.inputs]
    np.testing.assert_allclose(
        signature.function(*map(tf.constant, order))["logits"], expected["logits"], atol=1e-6
    )
    shorter = [x[:1, :4] for x in order]
    assert signature.function(*map(tf.constant, shorter))["logits"].shape == (1, 2)
    graph = tf.function(
        signature.function, input_signature=[tf.TensorSpec(None, tf.int32)] * len(order)
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(*(tf.constant(x[0]) for x in order))


def test_without_strings_token_ids_are_left():
    inputs = {"padding_mask": np.ones([1, 2], np.int32)}
    expected = {"tokens": np.array([2], np.int32)}
    token_ids = token_signature("token_ids", count, inputs, expected)
    strings = string_signature("text", count, {"text": ["a"]}, expected, TOKENIZER)
    assert task().signature_pair(strings, token_ids) == [strings, token_ids]
    assert task(text_signature=False).signature_pair(strings, token_ids) == [token_ids]


def test_the_default_signature_is_a_copy_under_that_name():
    signature = token_signature("token_ids", count, {}, {})
    default = as_default(signature)
    assert (default.name, signature.name) == ("serving_default", "token_ids")
    assert default.function is signature.function
