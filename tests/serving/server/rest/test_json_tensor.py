"""Predict requests and responses in JSON; the contract holds what a server answers to them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.errors import ServingError
from serving.protocol import tensors
from serving.server.rest import json_numbers, json_values
from serving.server.rest.json_tensor import fill_predict_request, predict_response

NAMES = "float32 float64 int8 int16 int32 int64 uint8 uint32 uint64 bool string".split()
# Types that JSON has no form for, with TensorFlow's own names.
UNIMPLEMENTED = {
    "float16": "half",
    "bfloat16": "bfloat16",
    "uint16": "uint16",
    "complex64": "complex64",
    "complex128": "complex128",
}


def filled(body: Any, **dtypes: str) -> tuple[bool, dict[str, np.ndarray]]:
    """Returns whether a body came in rows, and its inputs; `dtypes` are the signature's."""
    signature = meta_graph_pb2.SignatureDef()
    for alias, name in dtypes.items():
        signature.inputs[alias].dtype = tf.as_dtype(name).as_datatype_enum
    request = predict_pb2.PredictRequest()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    rows = fill_predict_request(request, content, lambda _: {"serving_default": signature})
    for alias, proto in request.inputs.items():
        assert proto.dtype == signature.inputs[alias].dtype
    return rows, {alias: tensors.decode(proto) for alias, proto in request.inputs.items()}


def printed(rows: bool, **outputs: np.ndarray) -> str:
    response = predict_pb2.PredictResponse()
    for alias, array in outputs.items():
        tensors.encode(response.outputs[alias], array, typed=True)
    return predict_response(response.outputs, rows).decode("utf-8", "surrogateescape")


def refusal(body: Any, **dtypes: str) -> str:
    with pytest.raises(ServingError) as raised:
        filled(body, **dtypes)
    return str(raised.value)


def strings(*values: bytes) -> np.ndarray:
    return np.array(values, object)


def told(array: np.ndarray) -> np.ndarray:
    """Returns an array in the shape that lists tell of it: an empty one has nothing within."""
    shape = array.shape
    return array.reshape(shape[: shape.index(0) + 1]) if 0 in shape else array


@st.composite
def any_arrays(draw, name: str, least: int = 0) -> np.ndarray:
    shape = draw(st.lists(st.integers(0, 3), min_size=least, max_size=4))
    if name != "string":
        return draw(arrays.arrays(np.dtype(name), shape))
    values = draw(st.lists(st.binary(max_size=4), min_size=0, max_size=math.prod(shape)))
    array = np.full(math.prod(shape), b"", object)
    array[: len(values)] = values
    return array.reshape(shape)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_array_of_any_dtype_makes_the_round_trip_in_columns(name, data):
    array = data.draw(any_arrays(name))
    alias = "x_bytes" if name == "string" else "x"
    body = printed(False, **{alias: array}).replace('"outputs"', '"inputs"', 1).encode()
    rows, inputs = filled(body, x=name)
    assert not rows
    np.testing.assert_array_equal(inputs["x"], told(array))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_batch_of_any_dtype_makes_the_round_trip_in_rows(name, data):
    array = data.draw(any_arrays(name, least=1).filter(lambda array: len(array)))
    outputs = {"x_bytes" if name == "string" else "x": array, "index": np.arange(len(array))}
    named = json.loads(printed(True, **outputs))["predictions"]
    assert [row["index"] for row in named] == list(range(len(array)))
    body = printed(True, **{next(iter(outputs)): array}).replace("predictions", "instances", 1)
    rows, inputs = filled(body.encode(), x=name)
    assert rows
    np.testing.assert_array_equal(inputs["x"], told(array))
    renamed = [{"x": row[next(iter(outputs))]} for row in named]
    np.testing.assert_array_equal(filled({"instances": renamed}, x=name)[1]["x"], told(array))


@pytest.mark.parametrize(
    ("row", "odd", "text"),
    [
        ([1, 2], ["x", 1], 'JSON Value: "x" Type: String is not of expected type: int32'),
        ([1, 2], [1, 2.5], "JSON Value: 2.5 Type: Number is not of expected type: int32"),
        ([1, 2], [1], "Expecting tensor size: 2 but got: 1"),
        ([1, 2], [[1], [2]], "Expecting shape [2] but got: [2,1]"),
        (3, None, "JSON Value: null Type: Null is not of expected type: int32"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 6, 500, 998, 999])
def test_one_row_among_many_that_does_not_fit_is_found(row, odd, text, place):
    rows = [row] * 1000
    rows[place] = odd
    # Of two rows of unequal shape, it is the second that does not fit.
    found = place or (1 if "Expecting" in text else 0)
    for instances in (rows, [{"x": each} for each in rows]):
        key = " key: x" if isinstance(instances[0], dict) else ""
        said = refusal({"instances": instances}, x="int32")
        start = f"Failed to process element: {found}{key} of 'instances' list. Error: "
        assert said.startswith(f"INVALID_ARGUMENT: {start}INVALID_ARGUMENT: ")
        if place:
            assert said.endswith(text)
    said = refusal({"inputs": rows}, x="int32")
    assert "Expecting" in text or said.endswith(text)


@pytest.mark.parametrize("odd", [{"y": [1, 2]}, {"x": [1, 2], "y": 1}, [1, 2]])
def test_one_object_among_many_that_does_not_fit_is_found(odd):
    rows: list[Any] = [{"x": [1, 2]}] * 100
    rows[70] = odd
    assert " 70 " in refusal({"instances": rows}, x="int32")


def test_many_values_with_an_odd_one_are_looked_at_together(monkeypatch):
    looked_at = []
    element = json_values._check_element

    def counted(value, dtype):
        looked_at.append(value)
        return element(value, dtype)

    monkeypatch.setattr(json_values, "_check_element", counted)
    images = [[[[1.5, 2]] * 10] * 10] * 100
    for body in (
        {"instances": [*images, [[["x", 2]] * 10] * 10]},
        {"instances": [{"x": each} for each in [*images, "x"]]},
        {"inputs": [[1.5, math.inf]] * 5000 + [[1, "x"]]},
    ):
        assert 'JSON Value: "x" Type: String' in refusal(body, x="float32")
    assert len(looked_at) < 20


LEAVES = (
    st.integers(-3, 3)
    | st.sampled_from([2**24 + 1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 1e39, 1e-46])
    | st.floats()
    | st.booleans()
    | st.none()
    | st.text(max_size=2)
    | st.just({"b64": "YQ=="})
    | st.just({"b64": 1})
)


@pytest.mark.parametrize("name", [*NAMES, "float16"])
@given(value=st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_what_is_no_array_has_something_wrong(name, value):
    dtype = tf.as_dtype(name).as_datatype_enum
    if json_values.dense(value, dtype) is None:
        with pytest.raises(ServingError):
            json_values.check(value, dtype, "x")
    else:
        json_values.check(value, dtype, "x")


ROWS = st.lists(
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
    | st.sampled_from([1, 2, [1, 2], [3, 4], "a", {"x": 1}, {"x": [1, 2]}, {"x": 1, "y": 2}])
    | st.fixed_dictionaries({"x": st.lists(st.integers(0, 2) | st.just(0.5), max_size=2)}),
    max_size=12,
)


@pytest.mark.parametrize("name", ["float32", "uint8", "bool", "string", "float16"])
@given(rows=ROWS, key=st.sampled_from(["instances", "inputs"]))
def test_both_readers_have_the_same_outcome(name, rows, key):
    def outcome() -> str:
        try:
            return repr(filled({key: rows}, x=name))
        except ServingError as error:
            return str(error)

    by_numbers = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_numbers, "read", lambda _: None)
        assert outcome() == by_numbers


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("float32", "[1, 2.0, 3, 5.003, 0.007]", [1, 2, 3, np.float32(5.003), np.float32(0.007)]),
        ("float64", "[1.0, 2, 0.662, 1e300]", [1, 2, 0.662, 1e300]),
        ("float32", "[16777217, -16777219, 1e9]", [16777216, -16777220, 1e9]),
        ("float32", "[1435774380, 1435774380.0]", [1435774336, 1435774336]),
        ("float32", "[1e39, -1.7976931348623157e308, 1]", [np.inf, -np.inf, 1]),
        ("float32", "[2.2250738585072014e-308, 1e-40]", [0, np.float32(1e-40)]),
        ("float64", "[9007199254740993, 1e39]", [9007199254740992, 1e39]),
        ("float32", "[100000000000000000000, 1]", [np.float32(1e20), 1]),
        ("uint8", "[300, -1]", [44, 255]),
        ("int8", "[200, 2147483647]", [-56, -1]),
        ("int16", "[70000]", [4464]),
        ("int32", "[2147483647, -2147483648]", [2**31 - 1, -(2**31)]),
        ("int64", "[9223372036854775807, -9223372036854775808]", [2**63 - 1, -(2**63)]),
        ("uint32", "[4294967295]", [2**32 - 1]),
        ("uint64", "[18446744073709551615]", [2**64 - 1]),
    ],
)
def test_numbers_take_the_type_of_the_signature(name, values, expected):
    for key in ("instances", "inputs"):
        array = filled(f'{{"{key}": {values}}}'.encode(), x=name)[1]["x"]
        assert array.dtype == name
        assert array.tolist() == expected


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("float32", "true", "JSON Value: true Type: True is not of expected type: float"),
        ("float32", "null", "JSON Value: null Type: Null is not of expected type: float"),
        ("float32", '{"a": 1}', 'JSON Value: {\n    "a": 1\n} Type: Object is not of expected …'),
        ("float64", '"1"', 'JSON Value: "1" Type: String is not of expected type: double'),
        ("int32", "2.0", "JSON Value: 2.0 Type: Number is not of expected type: int32"),
        ("int32", "2147483648", "JSON Value: 2147483648 Type: Number is not of expected …: int32"),
        ("int8", "-2147483649", "JSON Value: -2147483649 Type: Number is not of …: int8"),
        ("int64", "9223372036854775808", "JSON Value: 9223372036854775808 Type: …: int64"),
        ("uint32", "-1", "JSON Value: -1 Type: Number is not of expected type: uint32"),
        ("uint64", "18446744073709551616", "JSON Value: 18446744073709551616 Type: …: uint64"),
        ("int32", "false", "JSON Value: false Type: False is not of expected type: int32"),
        ("bool", "1", "JSON Value: 1 Type: Number is not of expected type: bool"),
        ("string", "1", "JSON Value: 1 Type: Number is not of expected type: string"),
        ("string", '{"a": "b"}', "JSON Value: {…} not formatted correctly for base64 data"),
        ("string", '{"b64": "A"}', "Unable to base64 decode"),
        ("string", '{"b64": "YQ="}', "Unable to base64 decode"),
        ("string", '{"b64": "é"}', "Unable to base64 decode"),
        ("int32", "0.1234567890123", "JSON Value: 0.1234567890123 Type: Number is not …: int32"),
        ("int32", "NaN", "JSON Value: NaN Type: Number is not of expected type: int32"),
        ("string", "[[1.5]]", "JSON Value: 1.5 Type: Number is not of expected type: string"),
        ("float32", "1e999", "JSON Parse error: Number too big to be stored in double. at …: 14"),
        *(
            (name, "1", f"Conversion of JSON Value: 1 to type: {shown}")
            for name, shown in UNIMPLEMENTED.items()
        ),
        ("float16", "{}", "JSON Value: {} Type: Object is not of expected type: half"),
    ],
)
def test_a_value_that_does_not_fit_is_shown_with_the_type_it_should_have(name, value, text):
    column = f'{{"x": {value}}}' if value.startswith("{") else f"   {value}"
    said = refusal(f'{{"inputs": {column}}}'.encode(), x=name)
    code = "UNIMPLEMENTED" if text.startswith("Conversion") else "INVALID_ARGUMENT"
    start, _, end = f"{code}: {text}".partition("…")
    assert said.startswith(start)
    assert said.endswith(end)
    if "Parse" not in text:
        key = " key: x" if value.startswith("{") else ""
        row = f'{{"instances": [{{"x": {value}}}]}}' if key else f'{{"instances": [{value}]}}'
        assert refusal(row.encode(), x=name) == (
            "INVALID_ARGUMENT: "
            f"Failed to process element: 0{key} of 'instances' list. Error: {said}"
        )


@pytest.mark.parametrize("text", ["aGVsbG8=", "aGVs\\nbG8 =", "aGVsbG8", "aGVsbG8.", "aGVsbG9="])
def test_base64_may_have_white_space_and_lack_its_padding(text):
    body = f'{{"instances": [{{"b64": "{text}"}}]}}'.encode()
    assert filled(body, x="string")[1]["x"].tolist() == [b"hello"]


def test_base64_and_strings_may_stand_side_by_side_at_any_depth():
    body = {"instances": [[["é", {"b64": "/w=="}]], [[{"b64": ""}, "b"]]]}
    assert filled(body, x="string")[1]["x"].tolist() == [[["é".encode(), b"\xff"]], [[b"", b"b"]]]


def test_several_inputs_of_several_types():
    instances = [
        {"ints": [[1, 2]], "text": "a", "floats": [1.0, math.nan]},
        {"text": "b", "floats": [2, math.inf], "ints": [[3, 4]]},
    ]
    dtypes = {"ints": "int32", "text": "string", "floats": "float32"}
    rows, inputs = filled({"instances": instances}, **dtypes)
    assert rows
    assert inputs["ints"].tolist() == [[[1, 2]], [[3, 4]]]
    assert inputs["text"].tolist() == [b"a", b"b"]
    np.testing.assert_array_equal(inputs["floats"], np.array([[1, np.nan], [2, np.inf]]))
    numbers = [{key: row[key] for key in ("ints", "floats")} for row in instances]
    numbers[0]["floats"], numbers[1]["floats"] = [1, 2], [2.5, 2**63]
    rows, found = filled({"instances": numbers}, ints="int32", floats="float32")
    assert found["ints"].tolist() == inputs["ints"].tolist()
    assert found["floats"].tolist() == [[1, 2], [2.5, 2.0**63]]
    columns = {key: [row[key] for row in instances] for key in dtypes}
    rows, again = filled({"inputs": columns}, **dtypes)
    assert not rows
    for alias, array in inputs.items():
        np.testing.assert_array_equal(again[alias], array)


def test_of_a_repeated_key_the_last_counts():
    body = b'{"instances": [{"x": 1, "x": 2}, {"x": 3}]}'
    assert filled(body, x="int32")[1]["x"].tolist() == [2, 3]
    body = b'{"instances": [{"x": {"b64": "YQ=="}, "x": "b"}, {"x": "c"}]}'
    assert filled(body, x="string")[1]["x"].tolist() == [b"b", b"c"]
    for value in ("1", "[[1]]", "[4, 5]", "[NaN]"):
        body = f'{{"inputs": {{"x": {value}, "x": [2, 3]}}}}'.encode()
        assert filled(body, x="float32")[1]["x"].tolist() == [2, 3]
    body = b'{"inputs": 1, "inputs": [2], "signature_name": "", "signature_name": ""}'
    assert filled(body, x="float32")[1]["x"].tolist() == [2]


def test_the_signature_is_the_one_that_the_request_names():
    signature = meta_graph_pb2.SignatureDef()
    signature.inputs["x"].dtype = types_pb2.DT_INT32
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    asked = []

    def signatures(spec):
        asked.append((spec.name, spec.signature_name))
        return {"a": signature}

    assert (
        fill_predict_request(request, b'{"signature_name": "a", "inputs": 1}', signatures) is False
    )
    assert asked == [("m", "a")]
    assert request.model_spec.signature_name == "a"


@pytest.mark.parametrize("depth", [65, 70, 300, 900])
@pytest.mark.parametrize("start", ['{"inputs":', '{"instances":', '{"instances":[1,'])
def test_lists_deeper_than_any_tensor_are_refused(start, depth):
    body = start + "[" * depth + "1" + "]" * depth + ("]}" if start[-1] == "," else "}")
    assert "tensor parsing error: x" in refusal(body.encode(), x="int32")


def test_large_documents_with_an_error_are_shown_in_part():
    rows = [[index, 0.5] for index in range(1000)]
    for body in (
        {"instances": rows, "inputs": 1},
        {"signature_name": rows},
        {"instances": {"x": rows}},
        rows,
    ):
        said = refusal(body, x="int32")
        assert "[0, 0.5], [1, 0.5], " in said
        assert len(said) < 400


@pytest.mark.parametrize(("name", "shown"), UNIMPLEMENTED.items())
@pytest.mark.parametrize("rows", [False, True])
def test_types_without_a_form_in_json_are_not_printed(name, shown, rows):
    array = np.zeros(2, tf.as_dtype(name).as_numpy_dtype)
    with pytest.raises(ServingError) as raised:
        printed(rows, y=array)
    assert raised.value.message == f"Failed to write JSON value for tensor type: {shown}"
    assert json.loads(printed(rows, y=array[:0])) == {"predictions" if rows else "outputs": []}


def test_rows_need_a_batch_of_one_size():
    for outputs, text in (
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.array(1)}, "Tensor name: y has no shape information "),
        (
            {"a": np.zeros(2), "y": np.zeros(3)},
            "Tensor name: y has inconsistent batch size: 3 expecting: 2",
        ),
        (
            {"a": np.zeros((0, 2)), "y": np.zeros(1)},
            "Tensor name: y has inconsistent batch size: 1 expecting: 0",
        ),
    ):
        with pytest.raises(ServingError) as raised:
            printed(True, **outputs)
        assert raised.value.message == text
    empty = printed(True, a=np.zeros((0, 2)), y=np.zeros((0, 1, 3), np.int32))
    assert json.loads(empty) == {"predictions": []}


def test_several_outputs_stand_together():
    y = np.array([[2.5, 3], [4, 0.1]], np.float32)
    outputs = {"y": y, "z": np.array([1, 2]), "é": strings(b"a", b"b")}
    assert json.loads(printed(True, **outputs)) == {
        "predictions": [{"y": [2.5, 3.0], "z": 1, "é": "a"}, {"y": [4.0, 0.1], "z": 2, "é": "b"}]
    }
    assert json.loads(printed(False, **outputs)) == {
        "outputs": {"y": [[2.5, 3.0], [4.0, 0.1]], "z": [1, 2], "é": ["a", "b"]}
    }


def test_bytes_are_printed_by_the_name_of_their_output():
    values = strings(b"a\xff", 'é"\n'.encode())
    assert printed(True, text=values[1:]) == '{"predictions":["é\\"\\n"]}'
    assert printed(True, text=values[:1]).encode("utf-8", "surrogateescape").count(b"\xff") == 1
    for rows in (True, False):
        (answer,) = json.loads(printed(rows, my_bytes=values)).values()
        assert answer == [{"b64": "Yf8="}, {"b64": "w6kiCg=="}]
    assert json.loads(printed(True, my_bytes=np.array([1]))) == {"predictions": [1]}
