"""The call that a model card shows: code that runs as it stands."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import tensorflow as tf

from pipelines.cards.call import call
from pipelines.export.signature import Signature


def signature(array: np.ndarray, name: str = "serving_default") -> Signature:
    spec = tf.TensorSpec((None, *array.shape[1:]))
    return Signature(name, lambda: {}, {"x": spec}, {"x": array}, {})


@pytest.mark.parametrize(
    ("array", "literal"),
    [
        (np.zeros((5, 8, 8, 1), np.uint8), "np.zeros((1, 8, 8, 1), 'uint8')"),
        (np.array([[1.5, 2.0], [3.0, 4.0]], np.float32), "np.array([[1.5, 2.0]], 'float32')"),
        (np.array([7, 8], np.int32), "np.array([7], 'int32')"),
        (np.array([True]), "np.array([True], 'bool')"),
        (np.array(["naïve 'text'", "b"], object), "[\"naïve 'text'\"]"),
        (np.array([b"bytes"], object), "['bytes']"),
        (np.array([[b"a", b"b"]], object), "[['a', 'b']]"),
        (np.array([b"\xff\xd8"], object), '[open("FILE", "rb").read()]'),
        (np.array(["long" * 100], object), '[open("FILE", "rb").read()]'),
    ],
)
def test_an_input_is_that_of_the_first_example(array, literal):
    code = call("m", signature(array))
    ast.parse(code)
    assert f"    'x': {literal},\n" in code
    assert ("import numpy as np" in code) == ("np." in literal)


def test_a_signature_is_named_unless_it_is_the_default():
    array = np.array([7], np.int32)
    assert "client.predict('m', inputs)" in call("m", signature(array))
    named = call("it's", signature(array, "embed"))
    assert """client.predict("it's", inputs, signature='embed')""" in named
