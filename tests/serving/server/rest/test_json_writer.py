"""Arrays and texts as JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.server.rest.json_writer import encoded, numbers, text, texts, written

TYPES = [*(f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 32, 64)), "int16", "bool"]
SHAPES = arrays.array_shapes(min_dims=0, min_side=0, max_side=3)


@pytest.mark.parametrize("name", [*TYPES, "float32", "float64"])
@given(data=st.data())
def test_numbers_read_back_as_the_same(name, data):
    array = data.draw(arrays.arrays(name, SHAPES))
    for one in (array, array.T):
        found = json.loads(written({"x": numbers(one)}))["x"]
        if name == "float32":  # Its digits are fewer than those of the same double.
            np.testing.assert_array_equal(np.array(found, name).reshape(one.shape), one)
        else:
            assert repr(found) == repr(one.tolist())


@pytest.mark.parametrize("around", [[], [math.nan]])
def test_floats_have_the_fewest_digits_of_their_type(around):
    values = [0.1, 2, 1e-45, 123456789, -0.0, 16777216, *around]
    array = np.array(values, np.float32)
    end = ",NaN]" if around else "]"
    assert written(numbers(array)).decode() == f"[0.1,2.0,1e-45,123456790.0,-0.0,16777216.0{end}"
    assert written(numbers(array[0])) == b"0.1"
    assert written(numbers(np.array([0.1, 1 / 3]))) == b"[0.1,0.3333333333333333]"


def test_nan_and_infinities_stand_bare():
    array = np.array([[math.nan, math.inf], [-math.inf, 1]], np.float32)
    assert written([numbers(array), numbers(array[0, 0])]) == (
        b"[[[NaN,Infinity],[-Infinity,1.0]],NaN]"
    )


@given(values=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_read_back_as_the_same(values):
    array = np.array([value.encode() for value in values], object)
    assert json.loads(written(texts(array))) == values


@given(content=st.binary(max_size=5))
def test_bytes_that_are_no_utf8_stand_as_they_are(content):
    found = json.loads(written({"x": text(content)}).decode("utf-8", "surrogateescape"))
    assert found["x"].encode("utf-8", "surrogateescape") == content


def test_bytes_in_base64():
    assert written(encoded(np.array([[b"a\xff"], [b""]], object))) == (
        b'[[{"b64":"Yf8="}],[{"b64":""}]]'
    )
    assert written(encoded(np.array(b"a", object))) == b'{"b64":"YQ=="}'
