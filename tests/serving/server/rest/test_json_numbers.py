"""Requests of nothing but numbers."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.server.rest.json_numbers import read

ARRAYS = st.sampled_from([np.int64, np.uint64, np.float64]).flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        arrays.array_shapes(max_dims=4, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False} if dtype is np.float64 else None,
    )
)
REQUESTS = st.fixed_dictionaries(
    {}, optional={"instances": ARRAYS, "signature_name": st.text("a\"[],'é\\"), "[]": ARRAYS}
)
MEMBERS = st.dictionaries(st.text('a"[],{}\0'), ARRAYS | st.text("a[]"), max_size=3)
REQUESTS |= st.fixed_dictionaries({"inputs": MEMBERS})
REQUESTS |= st.fixed_dictionaries({"instances": st.lists(MEMBERS, min_size=1, max_size=3)})
# Lists of any form, most of which are not those of an array.
LISTS: Any = st.recursive(
    st.integers(-1, 1) | st.sampled_from([0.5, 2**63, "[]", None, True]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=10,
)


def lists(value: Any) -> Any:
    """Returns a request with lists instead of arrays."""
    if isinstance(value, dict):
        return {key: lists(item) for key, item in value.items()}
    if isinstance(value, list):
        return [lists(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


@given(request=REQUESTS, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_lists_of_numbers_become_arrays(request, indent, ascii_only):
    body = json.dumps(lists(request), indent=indent, ensure_ascii=ascii_only).encode()
    found = read(body)
    assert found is None or lists(found) == lists(request)


@given(value=LISTS, name=st.sampled_from(["", "x", '"[1]']))
def test_what_is_no_array_is_left_alone(value, name):
    for request in (
        {"instances": value, "signature_name": name},
        {"inputs": {name: value}},
        {"instances": [{name: value}, {"a": [1]}]},
    ):
        found = read(json.dumps(request).encode())
        if found is not None:
            assert repr(lists(found)) == repr(request) or np.array(value).dtype == np.float64


@pytest.mark.parametrize("shape", [(1,), (4,), (1, 28, 28, 1), (2, 3, 4), (1, 1), (7, 1)])
@pytest.mark.parametrize("scale", [1, 0.5, 2**60])
def test_arrays_are_read(shape, scale):
    array = np.arange(1, 1 + np.prod(shape)).reshape(shape) * scale
    for request in (
        {"instances": array},
        {"signature_name": "s", "instances": array},
        {"inputs": array},
        {"inputs": {"a": array, "b": array[:1]}, "signature_name": ""},
        {"instances": [{"a": array, "b": array[:1], "c": "text"}, {"a": array}]},
    ):
        found = read(json.dumps(lists(request)).encode())
        assert found is not None
        assert lists(found) == lists(request)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[1]",
        '{"instances": 1}',
        '{"instances": []}',
        '{"instances": [[1, 2, 3], [4]]}',
        '{"instances": [[1, 2], 3, 4]}',
        '{"instances": [[1], [[2]]]}',
        '{"instances": [[1, 2], [3, []]]}',
        '{"instances": [true]}',
        '{"instances": [NaN]}',
        '{"instances": [1e999]}',
        '{"instances": [18446744073709551616]}',
        '{"instances": ["1"]}',
        '{"instances": [{"x": 1}]}',
        '{"instances": [{"x": [1]}, 3]}',
        '{"instances": [{"x": [1]}, [2]]}',
        '{"instances": [{"x": [[1, 2, 3], [4]]}, {"x": [[1, 2], [3, 4]]}]}',
        '{"instances": [[{"x": [1]}]]}',
        '{"instances": [{"x": [1], "x": [1]}]}',
        '{"inputs": {"a": [[1, 2, 3], [4]], "b": "[[,],[,]]"}}',
        '{"inputs": {"a": [[1, 2, 3], [4]], "b": [[1, 2], [3, 4]]}}',
        '{"inputs": {"a": [1], "a": [2]}}',
        '{"inputs": [1], "inputs": [2]}',
        '{"inputs": {"a": [1], "a\\u0000b": [2]}}',
        '{"inputs\\u0000": [1]}',
        '{"instances": [1]} x',
        '{"instances": [01]}',
        '{"instances": [1.]}',
        '{"instances": ' + "[" * 2000 + "1" + "]" * 2000 + "}",
    ],
    ids=lambda body: body[:40],
)
def test_other_documents_are_left_to_the_other_reader(body):
    assert read(body.encode()) is None


def test_long_lists_take_linear_time():
    for body in (
        b'{"instances": [' + b"1," * 300_000 + b"1]}",
        b'{"a": "' + b"," * 300_000 + b'"}',
    ):
        started = time.process_time()
        assert read(body) is not None
        assert time.process_time() - started < 2
