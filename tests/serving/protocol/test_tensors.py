"""TensorProto to NumPy and back, held against TensorFlow's own conversions."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.protocol import messages, tensors

OURS = messages.CLASSES["TensorProto"]
THEIRS = tf.make_tensor_proto(0.0).__class__

DTYPES = [
    *("float16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
]
FIELDS = [
    *("half_val", "float_val", "double_val", "int_val", "int64_val", "bool_val"),
    *("scomplex_val", "dcomplex_val", "uint32_val", "uint64_val"),
]


def same(one, two) -> bool:
    """Whether two arrays have the same type, the same shape and the same bits."""
    if one.dtype == object:
        return two.dtype == object and one.shape == two.shape and bool(np.all(one == two))
    return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()


shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
numbers = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))
bfloats = hnp.arrays("float32", shapes).map(lambda array: array.astype(ml_dtypes.bfloat16))
strings = hnp.arrays(object, shapes, elements=st.binary(max_size=5))
arrays = numbers | bfloats | strings


def encoded(array, typed: bool, kind=OURS):
    proto = kind()
    tensors.encode(proto, array, typed=typed)
    return proto


@given(arrays, st.booleans())
def test_what_is_encoded_decodes_to_the_same_array(array, typed):
    assert same(tensors.decode(encoded(array, typed)), array)


@given(arrays, st.booleans())
def test_tensorflow_reads_what_is_encoded(array, typed):
    proto = THEIRS.FromString(encoded(array, typed).SerializeToString())
    assert same(tf.make_ndarray(proto), array)
    parsed = tf.io.parse_tensor(proto.SerializeToString(), proto.dtype)
    assert same(np.asarray(parsed.numpy(), array.dtype), array)


@given(arrays)
def test_what_tensorflow_encodes_is_decoded(array):
    theirs = tf.make_tensor_proto(array)
    assert same(tensors.decode(theirs), array)
    assert same(tensors.decode(OURS.FromString(theirs.SerializeToString())), array)


@given(numbers)
def test_the_message_class_does_not_matter(array):
    ours, theirs = encoded(array, True), encoded(array, True, THEIRS)
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )


@given(
    hnp.arrays("float32", (4, 6)) | hnp.arrays("int64", (4, 6)) | hnp.arrays("complex64", (4, 6)),
    st.booleans(),
)
def test_views_are_encoded_in_their_own_order(array, typed):
    for view in (array.T, array[::2, ::-3], array[:, 1]):
        assert same(tensors.decode(encoded(view, typed)), view.copy())


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", ">i4", ">u8", ">c8"])
@pytest.mark.parametrize("typed", [False, True])
def test_the_byte_order_of_an_array_does_not_matter(dtype, typed):
    array = np.arange(5).astype(dtype)
    assert same(tensors.decode(encoded(array, typed)), array.astype(dtype.replace(">", "<")))


def test_numbers_go_into_the_field_of_their_type_or_into_the_content():
    array = np.array([1.5, 2.5], np.float32)
    assert list(encoded(array, typed=True).float_val) == [1.5, 2.5]
    assert encoded(array, typed=True).tensor_content == b""
    assert list(encoded(array, typed=False).float_val) == []
    assert encoded(array, typed=False).tensor_content == array.tobytes()


def test_text_is_encoded_as_utf_8():
    for array in (np.array(["é", "b"]), np.array(["é", b"b"], object), np.array("é")):
        proto = encoded(array, typed=False)
        assert list(proto.string_val) == ["é".encode(), b"b"][: array.size]
        assert tensors.decode(proto).shape == array.shape


@pytest.mark.parametrize(
    "array",
    [
        np.array(["2026-01-01"], "datetime64[D]"),
        np.array([b"bytes", 5], object),
        np.array([b"bytes", None], object),
        np.array([["ragged"], ["list", "of lists"]], object),
        np.zeros(2, [("a", int), ("b", float)]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_what_tensorflow_has_no_type_for_is_a_type_error(array):
    with pytest.raises(TypeError):
        encoded(array, typed=False)


@st.composite
def protos(draw):
    """TensorProtos as anyone may send them: few values, many values, values of another type."""
    dtype = tf.as_dtype(draw(st.sampled_from([*DTYPES, "bfloat16", "string"])))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    proto = THEIRS(dtype=dtype.as_datatype_enum)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    if draw(st.booleans()) and dtype != tf.string:
        size = int(np.prod(shape)) * dtype.size + draw(st.sampled_from([0, 0, 0, -1, 1]))
        proto.tensor_content = draw(st.binary(min_size=max(size, 0), max_size=max(size, 0)))
    elif draw(st.booleans()) and dtype == tf.string:
        proto.tensor_content = draw(st.binary(max_size=6))
    for field in draw(st.sets(st.sampled_from(FIELDS), min_size=8)):
        if field.startswith("int") or field == "half_val":
            bits = 63 if field == "int64_val" else 31
            values = draw(st.lists(st.integers(-(2**bits), 2**bits - 1), max_size=5))
        elif field.startswith("uint"):
            values = draw(st.lists(st.integers(0, 2 ** int(field[4:6]) - 1), max_size=5))
        elif field == "bool_val":
            values = draw(st.lists(st.booleans(), max_size=5))
        else:
            values = draw(st.lists(st.floats(width=32), max_size=5))
        getattr(proto, field).extend(values)
    proto.string_val.extend(draw(st.lists(st.binary(max_size=3), max_size=3)))
    return proto


@settings(max_examples=300)
@given(protos())
def test_any_message_is_read_as_tensorflow_reads_it(proto):
    try:
        expected = tf.io.parse_tensor(proto.SerializeToString(), proto.dtype).numpy()
    except tf.errors.InvalidArgumentError:
        with pytest.raises(ValueError, match="tensor_content"):
            tensors.decode(proto)
    else:
        got = tensors.decode(proto)
        assert same(got, np.array(expected, got.dtype))


def proto_of(dtype: int, *shape: int, **values):
    proto = OURS(dtype=dtype, **values)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return proto


def test_a_short_list_of_values_repeats_the_last_one():
    array = tensors.decode(proto_of(1, 2, 2, float_val=[1, 2]))
    assert array.tolist() == [[1, 2], [2, 2]]
    array = tensors.decode(proto_of(7, 3, string_val=[b"a"]))
    assert array.tolist() == [b"a"] * 3


def test_no_values_are_zeros():
    assert tensors.decode(proto_of(3, 2)).tolist() == [0, 0]
    assert tensors.decode(proto_of(10, 2)).tolist() == [False, False]
    assert tensors.decode(proto_of(7, 2)).tolist() == [b"", b""]


def test_surplus_values_are_ignored():
    assert tensors.decode(proto_of(9, 2, int64_val=[1, 2, 3])).tolist() == [1, 2]
    assert tensors.decode(proto_of(9, float_val=[5], int64_val=[1, 2])).tolist() == 1


def test_the_mark_of_an_unknown_rank_is_ignored_as_in_tensorflow():
    proto = proto_of(1, 2, float_val=[5])
    proto.tensor_shape.unknown_rank = True
    assert tensors.decode(proto).tolist() == [5, 5]


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("kind", [tf.qint8, tf.quint8, tf.qint16, tf.quint16, tf.qint32])
def test_quantized_types_are_those_of_tensorflow(kind, typed):
    array = np.array([[1, 2], [3, 100]], kind.as_numpy_dtype)
    proto = encoded(array, typed)
    assert proto.dtype == kind.as_datatype_enum
    assert bool(proto.tensor_content) is not typed
    assert same(tensors.decode(proto), array)
    assert same(tensors.decode(encoded(array[0, 1], typed)), array[0, 1])
    assert tensors.dtype_name(proto.dtype) == kind.name
    assert tensors.numpy_dtype(kind.name) == array.dtype


@pytest.mark.parametrize("array", [np.float32(1), np.array(b"a", object)])
def test_the_shape_of_a_scalar_is_there(array):
    proto = encoded(np.asarray(array), typed=True)
    assert proto.HasField("tensor_shape")
    assert not proto.tensor_shape.dim


def test_every_dtype_has_tensorflow_s_name():
    for number in range(1, 33):
        assert tensors.dtype_name(number) == tf.as_dtype(number).name


@pytest.mark.parametrize("number", [20, 21, 24, 29])
def test_what_numpy_has_no_values_of_is_told_apart_from_bad_content(number):
    with pytest.raises(tensors.OpaqueError, match=f"dtype {tensors.dtype_name(number)} are not"):
        tensors.decode(proto_of(number, 1))
    with pytest.raises(ValueError, match="negative"):
        tensors.decode(proto_of(number, -1))


@pytest.mark.parametrize(
    ("proto", "text"),
    [
        (proto_of(1, 2, tensor_content=b"123"), "does not hold 2 values of float32"),
        (proto_of(1, -1, float_val=[1]), "negative"),
        (proto_of(1, 2, -1, 0), "negative"),
        (proto_of(0, 1), "dtype 0"),
        (proto_of(101, 1), "dtype 101"),
        (proto_of(-1, 1), "dtype -1"),
        (proto_of(0, 0), "dtype 0"),
        (proto_of(1, 2**40), "too few"),
        (proto_of(7, 2**62, 2**62), "too few"),
        (proto_of(1, 2**62, 2**62, 0), "too big"),
        (proto_of(1, *[1] * 70), "70"),
        (proto_of(10, 2, tensor_content=b"\1\2"), "booleans"),
        (proto_of(7, 1, tensor_content=b"\xff" * 9), "length"),
        (proto_of(7, 2**40, tensor_content=b"\1a"), "tensor_content"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_message_that_makes_no_tensor_is_a_value_error(proto, text):
    with pytest.raises(ValueError, match=text):
        tensors.decode(proto)
