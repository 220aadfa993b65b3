"""Requests and answers as lines of JSON."""

from __future__ import annotations

import contextlib
import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.client.calls import Signature, TensorInfo
from serving.errors import UserError
from serving.query import json_lines


def takes(**inputs: tuple[str, tuple[int | None, ...] | None]) -> Signature:
    return Signature({n: TensorInfo(n, dtype, s) for n, (dtype, s) in inputs.items()}, {}, "")


def read(line: str, signature: Signature) -> tuple[dict, bool]:
    arrays, one = json_lines.inputs(line, signature, "line 1")
    return {name: (a.dtype.name, a.tolist()) for name, a in arrays.items()}, one


VECTOR = ("float32", (None, 2))


@pytest.mark.parametrize(
    ("line", "info", "array", "one"),
    [
        ('{"x": [1, 2.5]}', VECTOR, ("float32", [[1, 2.5]]), True),
        ("[1, 2.5]", VECTOR, ("float32", [[1, 2.5]]), True),
        ('{"x": [[1, 2], [3, 4]]}', VECTOR, ("float32", [[1, 2], [3, 4]]), False),
        ('{"x": []}', ("float32", (None,)), ("float32", []), False),
        ("3", ("int64", (None,)), ("int64", [3]), True),
        ("3", ("int64", ()), ("int64", 3), False),
        ("3", ("uint8", None), ("uint8", 3), False),
        ("3", ("bfloat16", (None,)), ("bfloat16", [3]), True),
        ("true", ("bool", (None,)), ("bool", [True]), True),
        ("NaN", ("float64", None), ("float64", pytest.approx(float("nan"), nan_ok=True)), False),
        ('"é"', ("string", (None,)), ("object", ["é"]), True),
        ('{"b64": "/wA="}', ("string", (None,)), ("object", [b"\xff\0"]), True),
        ('{"x": ["a", {"b64": "AA=="}]}', ("string", (None,)), ("object", ["a", b"\0"]), False),
    ],
)
def test_a_line_becomes_arrays_of_the_signatures_types(line, info, array, one):
    assert read(line, takes(x=info)) == ({"x": array}, one)


def test_inputs_may_be_left_out_or_have_their_batch_dimension_or_not():
    signature = takes(x=("float32", (None,)), factor=("float32", ()))
    assert read('{"x": 2, "factor": 3}', signature) == (
        {"x": ("float32", [2]), "factor": ("float32", 3)},
        True,
    )
    assert read('{"x": [2]}', signature) == ({"x": ("float32", [2])}, False)


def test_what_is_beside_all_inputs_is_not_read():
    signature = takes(x=("float32", (None,)), factor=("float32", ()))
    expected = read('{"x": 2, "factor": 3}', signature)
    assert read('{"x": 2, "truth": 7, "factor": 3}', signature) == expected
    # Without one of them it may be a misspelled one.
    with pytest.raises(UserError, match="must be an object with the inputs x, factor"):
        read('{"x": 2, "facter": 3}', signature)


@pytest.mark.parametrize(
    ("line", "info", "sentence"),
    [
        ("{", VECTOR, r"line 1 is not JSON: Expecting property name"),
        ('{"y": 1}', VECTOR, r'line 1 must be an object with the inputs x, not {"y": 1}'),
        ('{"x": "a"}', VECTOR, r'line 1, input x, must hold float32, not "a"'),
        ('{"x": true}', VECTOR, r"line 1, input x, must hold float32, not true"),
        ('{"x": null}', VECTOR, r"line 1, input x, must hold float32, not null"),
        ('{"x": [[1], 2]}', VECTOR, r"line 1, input x, must hold float32: "),
        ("1.5", ("int32", None), r"line 1, input x, must hold int32, not 1.5"),
        ("true", ("int32", None), r"line 1, input x, must hold int32, not true"),
        ("1", ("bool", None), r"line 1, input x, must hold bool, not 1"),
        ("300", ("uint8", None), r"line 1, input x, must hold uint8: .*300 out of bounds"),
        ("1", ("string", None), r"line 1, input x, must hold string, not 1"),
        ('{"b64": "?"}', ("string", None), r"line 1, input x, must hold string: b64 is no base64"),
        ('{"b64": 3}', ("string", None), r"line 1, input x, must hold string: b64 is no base64"),
        ("1", ("resource", None), r"line 1, input x, must hold resource: NumPy has no values"),
    ],
)
def test_a_line_that_does_not_fit_is_refused_with_its_place(line, info, sentence):
    with pytest.raises(UserError, match=sentence):
        read(line, takes(x=info))


@pytest.mark.parametrize(
    ("array", "one", "written"),
    [
        (np.array([0.1], np.float32), False, "[0.1]"),
        (np.array([0.1], np.float32), True, "0.1"),
        (np.array([0.1, 2], np.float16), True, "[0.1, 2.0]"),
        (np.array([0.1, 2], ml_dtypes.bfloat16), True, "[0.100097656, 2.0]"),
        (np.float32([[1, 2]]), True, "[1.0, 2.0]"),  # type: ignore[arg-type]
        (np.array(3, np.int64), True, "3"),
        (np.array([True]), False, "[true]"),
        (np.array([1 + 2j]), True, "[1.0, 2.0]"),
        (np.array(["é".encode(), b"\xff"], object), False, '["é", {"b64": "/w=="}]'),
        (np.array([b"a"], object), True, '"a"'),
        (np.array([np.nan, np.inf]), False, "[NaN, Infinity]"),
        (np.zeros((0, 2), np.float32), True, "[]"),
    ],
)
def test_outputs_are_written_as_short_as_they_read_back(array, one, written):
    assert json_lines.outputs({"y": array}, one) == f'{{"y": {written}}}'


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8]),
        hnp.array_shapes(min_dims=0, max_dims=2, max_side=3),
        elements={"allow_nan": False},
    )
)
def test_every_number_reads_back_as_it_was(array):
    written = json.loads(json_lines.outputs({"y": array}, False))["y"]
    assert np.array_equal(np.array(written, array.dtype), array)


@pytest.mark.parametrize("line", ["[" * 100_000, '{"x": ' + "1" * 5000 + "}"])
def test_a_line_that_no_parser_takes_is_refused(line):
    with pytest.raises(UserError, match=r"^line 1 is not JSON: "):
        read(line, takes(x=VECTOR))


NAMES = st.sampled_from(["x0", "x1", "y"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.builds(lambda text: {"b64": text}, st.text(max_size=6)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(
    line=st.one_of(JSON.map(json.dumps), st.text(max_size=20)),
    dtypes=st.lists(
        st.sampled_from(["float32", "int8", "uint64", "bool", "string", "bfloat16", "complex64"]),
        min_size=1,
        max_size=2,
    ),
)
def test_any_line_is_read_or_refused(line, dtypes):
    signature = takes(
        **{name: (dtype, (None, 2)) for name, dtype in zip("xy", dtypes, strict=False)}
    )
    with contextlib.suppress(UserError):
        arrays, _ = json_lines.inputs(line, signature, "line 1")
        assert arrays.keys() <= signature.inputs.keys()
