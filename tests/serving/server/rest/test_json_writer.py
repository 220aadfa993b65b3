"""JSON as RapidJSON prints it: floats, strings, layout."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.server.rest.json_writer import decimals, nested, object_of, quoted, shown


def one(value: np.floating) -> str:
    """The rule, value by value: six digits if they are enough, else as many as always are."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{float(value):.6g}"
    with np.errstate(over="ignore"):
        if type(value)(float(text)) != value:
            text = f"{float(value):.{9 if isinstance(value, np.float32) else 17}g}"
    return text if set(text) & set(".e") else f"{text}.0"


EDGES = [0.0, -0.0, 1e-45, 5e-324, 999999.5, 9e6, 3e-5, 123456789.0, 1e16, 0.1, 1 / 3, math.nan]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_follow_the_rule(dtype):
    limits = np.finfo(dtype)
    generator = np.random.default_rng(0)
    powers = 10 ** generator.uniform(-44, 38, 3000)
    numbers = np.concatenate(
        [
            np.array([*EDGES, limits.max, limits.min, limits.tiny, -math.inf, math.inf]),
            powers,
            np.array([float(f"{power:.{i % 8}g}") for i, power in enumerate(powers)]),
            np.round(generator.random(3000), 4),
            generator.integers(-(10**8), 10**8, 3000),
        ]
    ).astype(dtype)
    assert decimals(numbers) == [one(value) for value in numbers]


@given(
    numbers=arrays.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32))
    | arrays.arrays(np.float64, st.integers(0, 20), elements=st.floats())
)
def test_floats_read_back_as_the_same(numbers):
    texts = decimals(numbers)
    assert texts == [one(value) for value in numbers]
    back = np.array([json.loads(text) for text in texts], np.float64).astype(numbers.dtype)
    np.testing.assert_array_equal(back, numbers)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (2**64, "18446744073709552000.0"),
        (0.1, "0.1"),
        (2.0, "2.0"),
        (1234567.875, "1234567.875"),
        (1e300, "1e300"),
        (math.nan, ""),
        (-math.inf, ""),
        ("a", '"a"'),
        ([], "[]"),
        ({}, "{}"),
        (
            [1, {"a": [0.5, None]}],
            '[1, {\n        "a": [0.5, null]\n    }]',
        ),
        ({"a": {}, "b": [[], "c"]}, '{\n    "a": {},\n    "b": [[], "c"]\n}'),
        ([1, math.nan, 2], "[1, "),
        ({"a": math.inf}, '{\n    "a": '),
        ([1] * 1000, "[" + "1, " * 85 + "1"),
        ([[["a" * 300], 1]], '[[["' + "a" * 300 + '"'),
        ({"a" * 300: 1}, '{\n    "' + "a" * 300 + '"'),
        (["é" * 127, 2], '["' + "é" * 127 + '"'),
    ],
)
def test_values_are_shown_in_errors(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e21, "1e21"),
        (1e20, "100000000000000000000.0"),
        (1.5e-7, "1.5e-7"),
        (0.00001, "0.00001"),
        (1e-7, "1e-7"),
        (123.456, "123.456"),
        (1.25e100, "1.25e100"),
    ],
)
def test_doubles_within_a_value_are_the_shortest(value, text):
    assert shown([value]) == f"[{text}]"


def test_a_value_nested_to_any_depth_is_shown_up_to_its_256th_byte():
    value: list = []
    for _ in range(100_000):
        value = [value]
    assert shown(value) == "[" * 256


def test_strings_are_escaped():
    assert quoted('"\\/\b\f\n\r\t\x00\x1f\x7fé😀') == (
        '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001F\x7fé😀"'
    )


@given(
    shape=st.lists(st.integers(0, 3), max_size=4),
    count=st.integers(0, 3),
    single_line=st.booleans(),
)
def test_nested_lists_have_the_shape_they_should(shape, count, single_line):
    size = count * math.prod(shape)
    texts = nested(list(map(str, range(size))), shape, 0, count=count, single_line=single_line)
    values = np.arange(size).reshape(count, *shape).tolist()
    assert [json.loads(text) for text in texts] == values
    if not single_line:
        assert texts == [json.dumps(value, indent=4) for value in values]


def test_objects_have_a_line_for_each_member():
    assert object_of([("a", "1"), ("b", "[]")], 1) == '{\n        "a": 1,\n        "b": []\n    }'
