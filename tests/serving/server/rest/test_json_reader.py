"""JSON as RapidJSON reads it: what is accepted, what is refused, and where."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.errors import ServingError
from serving.server.rest import json_reader
from serving.server.rest.json_reader import Repeated, members, number, read, read_exactly

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(value=VALUES.filter(lambda value: "\ud800" not in repr(value)), ascii_only=st.booleans())
def test_both_readers_return_what_was_written(value, ascii_only):
    try:
        body = json.dumps(value, ensure_ascii=ascii_only, indent=1).encode()
    except UnicodeEncodeError:
        return
    assert repr(read(body)) == repr(value)
    assert repr(read_exactly(body)) == repr(value)


@given(
    body=st.binary(max_size=30) | st.text('{}[]",:0123456789.eE+-aNInfity\\ut rlse', max_size=30)
)
@example(body=b'"\xed\xa0\x80"')
def test_both_readers_agree_on_any_bytes(body):
    body = body.encode() if isinstance(body, str) else body

    def outcome(reader):
        try:
            return repr(reader(body))
        except ServingError as error:
            return str(error)

    exact = outcome(read_exactly)
    if body and "Number too big" not in exact:
        assert outcome(read) == exact


def test_read_and_exact_reading_differ_only_in_numbers_beyond_a_double():
    assert read(b"[1e999]") == [math.inf]
    with pytest.raises(ServingError, match=r"Number too big to be stored in double\. at offset: 4"):
        read_exactly(b"[1, -1e999]")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", "nan"),
        ("-NaN", "nan"),
        ("Inf", "inf"),
        ("-Inf", "-inf"),
        ("Infinity", "inf"),
        ("-Infinity", "-inf"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("1E+2", "100.0"),
        ("18446744073709551615", "18446744073709551615"),
    ],
)
@pytest.mark.parametrize("reader", [read, read_exactly])
def test_numbers_are_read(reader, text, value):
    assert repr(reader(text.encode())) == value


@pytest.mark.parametrize("reader", [read, read_exactly])
def test_integers_beyond_64_bits_are_doubles(reader):
    (found,) = reader(b"[-%s]" % (b"9" * 20))
    assert number(found) == -1e20


def test_an_empty_body_has_no_offset():
    with pytest.raises(ServingError) as raised:
        read(b"")
    assert raised.value.message == "JSON Parse error: The document is empty"


def test_integers_beyond_a_double_are_too_big():
    assert math.isinf(number(10**400))
    for body in (b"[" + b"9" * 400, b"[" + b"9" * 5000):
        with pytest.raises(ServingError, match=r"Number too big to .* at offset: 1"):
            read_exactly(body)
    with pytest.raises(ServingError, match=r"Number too big to .* at offset: 1"):
        read(b"[" + b"9" * 5000)


def test_text_after_the_document_and_a_byte_order_mark_are_passed_over():
    assert read(b"\xef\xbb\xbf [1] x") == read_exactly(b"\xef\xbb\xbf [1] x") == [1]


def test_of_a_repeated_key_look_ups_find_the_first():
    for reader in (read, read_exactly):
        found = reader(b'{"a": 1, "b": 2, "a": 3}')
        assert isinstance(found, Repeated)
        assert found["a"] == 1
        assert members(found) == [("a", 1), ("b", 2), ("a", 3)]
    assert members(read(b'{"a": 1}')) == [("a", 1)]


def test_bytes_that_are_no_utf8_pass_through_strings():
    assert read(b'"\xff\\u00e9"').encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b" \t\r\n", "The document is empty. at offset: 4"),
        (b"\x00", "The document is empty. at offset: 0"),
        (b"x", "Invalid value. at offset: 0"),
        *((end, "The document is empty. at offset: 0") for end in (b"]", b"}", b",", b":")),
        (b"'a'", "Invalid value. at offset: 0"),
        (b"trap", "Invalid value. at offset: 2"),
        (b"[nul", "Invalid value. at offset: 4"),
        (b"-", "Invalid value. at offset: 1"),
        (b"+1", "Invalid value. at offset: 0"),
        (b"INF", "Invalid value. at offset: 1"),
        (b"Infi", "Invalid value. at offset: 4"),
        (b"Na", "Invalid value. at offset: 2"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b"[1 2]", "Missing a comma or ']' after an array element. at offset: 3"),
        (b"[01]", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"[1", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"{", "Missing a name for object member. at offset: 1"),
        (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
        (b"{a:1}", "Missing a name for object member. at offset: 1"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a":1 "b"}', "Missing a comma or '}' after an object member. at offset: 7"),
        (b'{"a":}', "Invalid value. at offset: 5"),
        (b"1.", "Miss fraction part in number. at offset: 2"),
        (b"1.e5", "Miss fraction part in number. at offset: 2"),
        (b"1e", "Miss exponent in number. at offset: 2"),
        (b"1e+x", "Miss exponent in number. at offset: 3"),
        (b'"a', "Missing a closing quotation mark in string. at offset: 2"),
        (b'"a\x00"', "Missing a closing quotation mark in string. at offset: 2"),
        (b'"a\n"', "Invalid escape character in string. at offset: 2"),
        (b'"\\x"', "Invalid escape character in string. at offset: 1"),
        (b'"\\', "Invalid escape character in string. at offset: 1"),
        (b'"\\u12"', "Incorrect hex digit after \\u escape in string. at offset: 1"),
        (b'"\\ud800"', "The surrogate pair in string is invalid. at offset: 1"),
        (b'"\\ud800\\u0041"', "The surrogate pair in string is invalid. at offset: 1"),
        (b'"\\ud800\\x"', "The surrogate pair in string is invalid. at offset: 1"),
        (b'"\xc3\xa9\\q"', "Invalid escape character in string. at offset: 3"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(body, text):
    for reader in (read, read_exactly):
        with pytest.raises(ServingError) as raised:
            reader(body)
        assert str(raised.value) == f"INVALID_ARGUMENT: JSON Parse error: {text}"


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":['])
@pytest.mark.parametrize("reader", [json_reader.read, json_reader.read_exactly])
def test_nesting_of_any_depth_is_read_up_to_the_end_of_the_body(reader, opening):
    body = opening * 20_000
    with pytest.raises(ServingError, match=rf"Invalid value\. at offset: {len(body)}$"):
        reader(body)


@pytest.mark.parametrize("reader", [json_reader.read, json_reader.read_exactly])
def test_what_nobody_reads_may_be_nested_to_any_depth(reader):
    found = reader(b'{"nested":' + b"[" * 100_000 + b"]" * 100_000 + b', "x": 1}')
    assert found["x"] == 1
    depth, value = 0, found["nested"]
    while value:
        depth, (value,) = depth + 1, value
    assert depth == 100_000 - 1


def test_half_a_surrogate_pair_at_the_end_of_two_is_kept_as_its_three_bytes():
    for reader in (read, read_exactly):
        found = reader(b'["\\udc00"]')[0]
        assert found.encode("utf-8", "surrogateescape") == b"\xed\xb0\x80"


ROW = [0.5, -1e-5, 3, "a\u00e9\n", None, True, math.inf]


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        ([ROW] * 10_000, 100),
        ([[[ROW] * 10] * 10] * 100, 100),
        ([{"x": ROW, "y": [[1, 2]]}] * 5000, 100),
        (["\u00e9\t" * 100_000], 100),
        ([[[[[ROW] * 20] * 20] * 5] * 5], 1000),
    ],
    ids=["rows", "images", "objects", "a string", "deep"],
)
def test_a_large_body_that_ends_early_is_read_in_few_steps(value, steps, monkeypatch):
    taken: list[None] = []
    step = json_reader._Reader._peek

    def counted(reader):
        taken.append(None)
        return step(reader)

    monkeypatch.setattr(json_reader._Reader, "_peek", counted)
    body = json.dumps({"instances": value}).encode()
    with pytest.raises(ServingError, match=rf"Missing a comma or .* at offset: {len(body) - 1}$"):
        read(body[:-1])
    assert len(taken) < steps


def test_any_escape_that_is_a_pair_of_surrogates_is_one_character():
    assert read(b'"\\ud83d\\ude00\\\\ud800"') == "😀\\ud800"
