"""JSON documents: what is accepted, what is refused, and where."""

from __future__ import annotations

import contextlib
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ServingError
from serving.server.rest.json_reader import read, shown

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(width=64)
    | st.sampled_from([2**63, 2**64, -(2**63) - 1, 5e-324, 1.7976931348623157e308])
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=20,
)


@given(value=VALUES, ascii_only=st.booleans())
def test_a_document_is_read_as_pythons_parser_reads_it(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=1)
    assert repr(read(text.encode())) == repr(json.loads(text))


@given(
    body=st.binary(max_size=30) | st.text('{}[]",:0123456789.eE+-aNInfity\\ut rlse', max_size=30)
)
def test_any_bytes_are_read_or_refused(body):
    body = body.encode() if isinstance(body, str) else body
    try:
        expected = repr(json.loads(body.decode(), parse_float=_double))
    except (ValueError, OverflowError):
        expected = ""
    found = ""
    with contextlib.suppress(ServingError):
        found = repr(read(body))
    # Text after the document and `Inf` are accepted as well, half a surrogate pair is not.
    assert found == expected or not expected or (not found and b"\\ud" in body.lower())


def _double(text: str) -> float:
    if math.isinf(float(text)):
        raise OverflowError
    return float(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", "nan"),
        ("-NaN", "nan"),
        ("Inf", "inf"),
        ("-Inf", "-inf"),
        ("Infinity", "inf"),
        ("-Infinity", "-inf"),
        ("-0.0", "-0.0"),
        ("1E+2", "100.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "18446744073709551616"),
        ('"\\ud83d\\ude00\\\\ud800\\u00e9"', "'😀\\\\ud800é'"),
    ],
)
def test_numbers_and_texts(text, value):
    assert repr(read(text.encode())) == value
    assert repr(read(f"[NaN, {text}]".encode())) == f"[nan, {value}]"


def test_text_after_the_document_and_a_byte_order_mark_are_passed_over():
    assert read(b"\xef\xbb\xbf [1] x") == [1]
    assert read(b"\xef\xbb\xbf [Inf] [") == [math.inf]


@pytest.mark.parametrize("rest", [b"", b', "b": NaN'])
def test_of_a_repeated_key_the_last_counts(rest):
    assert read(b'{"a": 1, "a": 3%s}' % rest)["a"] == 3


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "The document is empty"),
        (b" \t\r\n", "The document is empty. at offset: 4"),
        (b"x", "Invalid value. at offset: 0"),
        (b"[nul", "Invalid value. at offset: …"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b"[1 2]", "Missing a comma or ']' after an array element. at offset: 3"),
        (b"[1", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"{", "Missing a name for object member. at offset: 1"),
        (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a":1 "b"}', "Missing a comma or '}' after an object member. at offset: 7"),
        (b"1.", "Miss fraction part in number. at offset: 2"),
        (b"1e", "Miss exponent in number. at offset: 2"),
        (b'"a', "Missing a closing quotation mark in string. at offset: 2"),
        (b'"\\x"', "Invalid escape character in string. at offset: …"),
        (b'"\\u12"', "Incorrect hex digit after \\u escape in string. at offset: …"),
        (b'"\\ud800"', "The surrogate pair in string is invalid. at offset: …"),
        (b'"\\udc80"', "The surrogate pair in string is invalid. at offset: …"),
        (b'["a\xff"]', "Invalid encoding in string. at offset: 3"),
        (b"[1, -1e999]", "Number too big to be stored in double. at offset: 4"),
        (b"[" + b"9" * 5000 + b"]", "Invalid integer value at offset: 1"),
        *(
            (opening * 200_000, "Maximum parse recursion depth exceeded… at offset: …")
            for opening in (b"[", b'{"a":', b'[{"a":[')
        ),
    ],
    ids=lambda value: str(value[:12]),
)
def test_what_is_no_json_is_refused_with_its_place(body, text):
    with pytest.raises(ServingError) as raised:
        read(body)
    pattern = ".*".join(map(re.escape, f"JSON Parse error: {text}".split("…")))
    assert re.fullmatch(pattern, raised.value.message)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0.1, "0.1"),
        (2.0, "2.0"),
        (math.nan, "NaN"),
        ("a\n", '"a\\n"'),
        ([1, {"a": [0.5, None]}], '[1, {\n        "a": [0.5, null]\n    }]'),
        ({"a": {}, "b": [[], "é"]}, '{\n    "a": {},\n    "b": [[], "é"]\n}'),
        ([1] * 1000, "[" + "1, " * 85),
    ],
)
def test_values_are_shown_in_errors(value, text):
    assert shown(value) == text


def test_a_value_nested_as_deep_as_can_be_read_is_shown_somehow():
    depth = 900
    while True:
        try:
            value = read(b"[" * depth + b"]" * depth)
        except ServingError:
            break
        assert shown(value).startswith("[[[") or shown(value) == "Array"
        depth += 7
