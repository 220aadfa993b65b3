"""Values on their way into a signature and out of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.client.calls import TensorInfo
from serving.scoring import inputs, outputs


def info(dtype, *shape):
    return TensorInfo("x:0", dtype, (None, *shape))


def taken(column, wanted):
    """Returns the values by row, None where there is a fault, and the faults."""
    faults: dict[int, str] = {}
    found = inputs.values(column, wanted, "c", faults)
    return [None if row in faults else found[row] for row in range(len(column))], faults


@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
                     elements=st.integers(-300, 300)))  # fmt: skip
def test_arrow_and_python_give_the_same_values_and_faults(array):
    """Whole columns are converted at once where they can be, others value by value."""
    for dtype, shape in (("uint8", array.shape[1:]), ("float32", (None, None)), ("int64", (9,))):
        whole, whole_faults = taken(pa.array(array.tolist()), info(dtype, *shape))
        single, single_faults = taken(array.tolist(), info(dtype, *shape))
        assert whole_faults == single_faults
        for one, other in zip(whole, single, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_array_equal(one, other)
                assert one.dtype == other.dtype == dtype


@pytest.mark.parametrize(
    ("value", "wanted", "said"),
    [
        (None, info("float32"), "c has no value"),
        ("x", info("float32"), "c does not hold float32: 'x'"),
        ("maybe", info("bool"), "c does not hold bool: 'maybe'"),
        (1.5, info("int32"), "c does not hold int32: 1.5"),
        (256, info("uint8"), "c does not hold uint8: 256"),
        (True, info("int32"), "c does not hold int32: True"),
        ([1, 2, 3], info("float32", 2, 2), "c has the shape 3, not 2x2"),
        ([[1, 2], [3, 4]], info("float32", 4), "c has the shape 2x2, not 4"),
        (1.0, info("float32", None), "c has the shape that of a single value, not *"),
        ([1, [2]], info("float32", None), "c has lists of several lengths within a value"),
        ([1, None], info("float32", None), "c has a value without numbers, or with missing ones"),
        (7, info("string"), "c holds no text: 7"),
        ("\ud800", info("string"), "c is not in UTF-8"),
    ],
)
def test_a_value_that_does_not_fit_is_a_fault(value, wanted, said):
    assert taken([value], wanted) == ([None], {0: f"column {said}"})


def test_values_become_what_a_signature_takes():
    assert taken(["1.5", " 2 "], info("float32"))[0] == [np.float32(1.5), np.float32(2)]
    assert taken(["true", "0"], info("bool"))[0] == [np.True_, np.False_]
    assert taken(["naïve", b"\xff"], info("string"))[0] == ["naïve".encode(), b"\xff"]
    [row] = taken([list(range(4))], info("uint8", 2, 2, 1))[0]
    assert row.tolist() == [[[0], [1]], [[2], [3]]]
    [row] = taken([["a", "b"]], info("string", None))[0]
    assert row.tolist() == [b"a", b"b"]


@pytest.mark.parametrize(
    ("wanted", "array", "kind", "rows"),
    [
        (info("float32"), np.array([1, 2], np.float32), pa.float32(), [1, 2]),
        (
            info("int32", 2, 2),
            np.arange(8, dtype=np.int32).reshape(2, 2, 2),
            pa.list_(pa.list_(pa.int32())),
            [[[0, 1], [2, 3]], [[4, 5], [6, 7]]],
        ),
        (info("float32", None), np.zeros((2, 0), np.float32), pa.list_(pa.float32()), [[], []]),
        (info("complex64"), np.array([1 + 2j, 3]), pa.list_(pa.float32()), [[1, 2], [3, 0]]),
        (
            info("string", 2),
            np.array([[b"a", b"\xff"], [b"", b"b"]], object),
            pa.list_(pa.string()),
            [["a", "\\xff"], ["", "b"]],
        ),
        (TensorInfo("x:0", "float64", (2,)), np.array([0.1, 0.9]), pa.list_(pa.float64()),
         [[0.1, 0.9]] * 2),
        (TensorInfo("x:0", "int64", ()), np.array(7), pa.int64(), [7, 7]),
        (TensorInfo("x:0", "int64", None), np.ones((2, 1, 2), np.int64), pa.list_(pa.int64()),
         [[1, 1]] * 2),
    ],
)  # fmt: skip
def test_answers_become_columns(wanted, array, kind, rows):
    field = outputs.field("y", wanted)
    assert field.type == kind
    assert outputs.column(array, wanted, field.type, 2).to_pylist() == rows


def test_strings_that_are_no_text_stay_bytes():
    field = outputs.field("overlay_bytes", info("string"))
    column = outputs.column(np.array([b"\xff\x00"], object), info("string"), field.type, 1)
    assert column.to_pylist() == [b"\xff\x00"]
