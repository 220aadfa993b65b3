"""JSON of a user's own: an object a line or an array of them, each with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.config import Config
from pipelines.datasets import json_lines, tables
from pipelines.errors import UserError


def read(folder, content: str):
    path = folder / "a.jsonl"
    path.write_text(content, newline="")
    objects, _ = json_lines.read(path, Config())
    found = list(objects)
    return [row for row, _ in found], [line for _, line in found]


VALUES = st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.none(), max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_lines_and_arrays_have_the_same_objects_and_true_lines(tmp_path, rows, indent, ascii_only):
    as_lines, lines = read(tmp_path, "\n\n".join(map(json.dumps, rows)))
    assert (as_lines, lines) == (rows, list(range(1, 2 * len(rows), 2)))
    content = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    as_array, starts = read(tmp_path, f"\n{content}\n")
    assert as_array == rows
    physical = ["", *content.split("\n")]
    assert all("{" in physical[line - 1] for line in starts)


def test_numbers_stay_as_they_are_written(tmp_path):
    rows, _ = read(tmp_path, '[{"a": 1e5, "b": [01.0]}]'.replace("01.0", "1.0"))
    assert rows == [{"a": "1e5", "b": ["1.0"]}]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ('{"a": 1}\n{"a"', 2, "not JSON"),
        ('{"a": 1}\n[1]', 2, 'a JSON object is needed, not ["1"]'),
        ('{"a": 1}\n5', 2, "a JSON object is needed, not 5"),
        ("[\n1]", 2, "a JSON object is needed, not"),
        ('[{"a": 1},\n{"a" 2}]', 2, "not JSON"),
        ('[{"a": 1}\n{"a": 2}]', 2, "not JSON"),
        ('[{"a": 1}', 1, "not JSON"),
        ('[{"a": 1}]\n\n{"a": 2}', 1, "not JSON"),
        ('{"a": "\\ud83d"}', 1, r"half of a character, \ud83d, stands alone"),
        ('[{"a": "b"},\n{"a": ["\\ude00"]}]', 2, r"half of a character, \ude00, stands alone"),
    ],
)
def test_what_is_no_json_object_is_named_with_its_line(content, line, words, tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 'a.jsonl'}, line {line}: ")
    assert words in str(caught.value)


def columns_of(table: tables.Table) -> dict[str, list]:
    return {name: list(column) for name, column in table.columns.items()}


def test_csv_keeps_the_line_ends_in_its_fields(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'sep=;\r\na;b\r\n"1\r\n2\n3";x\r\n4;y\r\n')
    table = tables.read(path, Config())
    assert columns_of(table) == {"a": ["1\r\n2\n3", "4"], "b": ["x", "y"]}
    assert list(table.lines) == [3, 6]
    path.write_bytes(b"a,b\r1,2\r")
    assert columns_of(tables.read(path, Config())) == {"a": ["1"], "b": ["2"]}
