"""Columns of texts: packed, the same values as in lists, and the same JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets import text_columns
from pipelines.datasets.text_columns import as_json, columns_of, is_text, joined, packed, taken

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
