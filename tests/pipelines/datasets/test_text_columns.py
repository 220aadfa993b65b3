"""Columns of texts: packed, the same values as in lists, and the same JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets import stored, text_columns
from pipelines.datasets.text_columns import (
    Texts,
    Values,
    as_json,
    column_of,
    columns_of,
    is_text,
    joined,
    packed,
    taken,
    texts_of,
    values_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=20)


@pytest.fixture(autouse=True, scope="module")
def short_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_columns, "_CHUNK", 3)
        yield


@given(TEXTS)
def test_packed_texts_are_what_they_were(texts):
    column = packed(texts)
    assert is_text(column)
    assert list(column) == texts
    assert "".join(as_json(column)) == json.dumps(texts)
    assert list(taken(column, range(0, len(texts), 2))) == texts[::2]
    assert list(joined([column, column])) == texts * 2


@given(TEXTS)
def test_texts_in_a_file_are_those_of_an_array(texts):
    array = texts_of(column_of(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "LIMIT", 0)
        column = texts_of(column_of(texts))
    assert isinstance(column, Texts) == bool(texts)
    assert is_text(column)
    assert list(column) == list(array) == texts
    assert "".join(as_json(column)) == json.dumps(texts)
    even = taken(column, range(0, len(texts), 2))
    assert list(even) == texts[::2]
    assert list(taken(even, range(len(even))[::-1])) == texts[::2][::-1]
    assert list(joined([column, array])) == texts * 2
    for part in (
        slice(1, 4),
        slice(None, None, -1),
        np.array([len(text) > 2 for text in texts], bool),
    ):
        assert column[part].tolist() == array[part].tolist()
    if texts:
        assert column[-1] == texts[-1]
        assert column[np.array([-1, 0])].tolist() == [texts[-1], texts[0]]


def in_a_file(values):
    """The column of values, of any number, as it is of many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "LIMIT", 0)
        return column_of(values)


@settings(max_examples=25)
@given(st.lists(JSON, max_size=8))
def test_values_in_a_file_are_those_of_a_list(values):
    column = in_a_file(values)
    assert isinstance(column, Values) == any(not isinstance(value, str) for value in values)
    assert list(column) == column[:].tolist() == values
    assert "".join(as_json(column)) == json.dumps(values)
    even = taken(column, range(0, len(values), 2))
    assert list(even) == values[::2]
    assert list(joined([even, values])) == values[::2] + values
    assert values_of(column)[np.arange(len(values))[::-1]].tolist() == values[::-1]
    assert values_of(values).tolist() == values


@settings(max_examples=25)
@given(TEXTS, st.lists(JSON, min_size=1, max_size=8))
def test_values_may_follow_many_texts(texts, values):
    assert list(in_a_file([*texts, *values])) == [*texts, *values]


def test_a_file_keeps_what_is_no_json():
    values = [(b"a", ("b", None)), (), np.arange(3).tolist()]
    column = in_a_file(values)
    assert list(column) == values
    assert column[0] == column[-3] == values[0]


def test_a_column_with_none_or_lists_stays_a_list():
    values = ["a", None, ["b", "c"], {"d": "e"}]
    assert packed(values) is values
    assert "".join(as_json(values)) == json.dumps(values)
    assert taken(values, [2, 0]) == [["b", "c"], "a"]
    assert joined([np.array(["x"], text_columns.TEXT), values]) == ["x", *values]


def test_rows_have_none_where_a_name_comes_later_or_not_again():
    rows = [{"a": str(number)} for number in range(4)] + [{"b": "x"}, {"b": "y", "a": "4"}]
    found = columns_of(rows)
    assert {name: list(column) for name, column in found.items()} == {
        "a": ["0", "1", "2", "3", None, "4"],
        "b": [None] * 4 + ["x", "y"],
    }
    assert is_text(columns_of(rows[:4])["a"])
    assert columns_of([]) == {}
