"""tf.Example from dictionaries, as TensorFlow itself reads and writes it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import input_pb2

from serving.protocol.examples import array, example, example_input, image


def original(features) -> tf.train.Example:
    return tf.train.Example.FromString(example(features).SerializeToString())


@pytest.mark.parametrize(
    ("value", "kind", "values"),
    [
        (3, "int64_list", [3]),
        (True, "int64_list", [1]),
        ([1, -2], "int64_list", [1, -2]),
        ([True, False], "int64_list", [1, 0]),
        (2**63 - 1, "int64_list", [2**63 - 1]),
        (0.5, "float_list", [0.5]),
        ([1, 2.5], "float_list", [1, 2.5]),
        (float("inf"), "float_list", [float("inf")]),
        ("é", "bytes_list", ["é".encode()]),
        (b"\xff\0", "bytes_list", [b"\xff\0"]),
        (["a", b"b\0"], "bytes_list", [b"a", b"b\0"]),
        (np.int8(3), "int64_list", [3]),
        (np.array([[1, 2], [3, 4]], np.uint8), "int64_list", [1, 2, 3, 4]),
        (np.array([True]), "int64_list", [1]),
        (np.array([0.5], np.float64), "float_list", [0.5]),
        (np.array([b"a"]), "bytes_list", [b"a"]),
        (np.array(["é", b"\0"], object), "bytes_list", ["é".encode(), b"\0"]),
        (np.array([], np.int64), "int64_list", []),
        (np.array([], np.float32), "float_list", []),
        (np.array([], object), "bytes_list", []),
        ([], None, None),
        ((), None, None),
    ],
    ids=str,
)
def test_each_value_becomes_the_list_of_its_kind(value, kind, values):
    feature = original({"f": value}).features.feature["f"]
    assert feature.WhichOneof("kind") == kind
    if kind:
        assert list(getattr(feature, kind).value) == values


scalars = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1),
    st.lists(st.binary(), min_size=1),
)


@given(st.dictionaries(st.text(), scalars))
def test_the_bytes_are_those_of_tensorflows_own_message(features):
    theirs = tf.train.Example(features={})
    for name, values in features.items():
        feature = theirs.features.feature[name]
        if isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        elif isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(values)
    ours = example(features).SerializeToString(deterministic=True)
    assert ours == theirs.SerializeToString(deterministic=True)


def test_tensorflow_parses_what_is_written():
    serialized = example({"id": 7, "weights": [0.5, 1.5], "word": "é"}).SerializeToString()
    parsed = tf.io.parse_single_example(
        serialized,
        {
            "id": tf.io.FixedLenFeature([], tf.int64),
            "weights": tf.io.FixedLenFeature([2], tf.float32),
            "word": tf.io.FixedLenFeature([], tf.string),
        },
    )
    assert parsed["id"].numpy() == 7
    assert parsed["weights"].numpy().tolist() == [0.5, 1.5]
    assert parsed["word"].numpy() == "é".encode()


@pytest.mark.parametrize("value", [None, 1j, {"a": 1}, object(), [None], ["a", 1], [b"a", None]])
def test_what_no_feature_holds_is_refused_with_its_name(value):
    with pytest.raises(TypeError, match="feature 'f' must hold integers, booleans, floats or"):
        example({"f": value})


def test_an_integer_beyond_64_bits_is_refused():
    for value in (2**63, [2**64 - 1], np.array([2**63], np.uint64)):
        with pytest.raises(ValueError, match="range"):
            example({"f": value})


def test_examples_with_a_context_and_without_are_told_apart():
    plain = input_pb2.Input.FromString(example_input([{"a": 1}, {"a": 2}]).SerializeToString())
    assert [e.features.feature["a"].int64_list.value[0] for e in plain.example_list.examples] == [
        1,
        2,
    ]
    shared = input_pb2.Input.FromString(example_input([{}], {"a": "x"}).SerializeToString())
    assert shared.WhichOneof("kind") == "example_list_with_context"
    [empty] = shared.example_list_with_context.examples
    assert not empty.features.feature
    context = shared.example_list_with_context.context
    assert list(context.features.feature["a"].bytes_list.value) == [b"x"]
    none = input_pb2.Input.FromString(example_input([]).SerializeToString())
    assert none.WhichOneof("kind") == "example_list"


def test_an_image_is_its_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"png\0")
    assert image(path) == image(str(path)) == image(b"png\0") == b"png\0"
    with pytest.raises(FileNotFoundError):
        image(tmp_path / "gone.png")


def test_strings_keep_their_zero_bytes():
    assert array([b"a\0", "b"]).tolist() == [b"a\0", "b"]
    assert array(b"a\0").dtype == object
    assert array([1, 2]).tolist() == [1, 2]
