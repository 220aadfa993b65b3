"""Files of examples: JSON objects a line, as many as people read."""

from __future__ import annotations

import itertools
import json

from pipelines.text.examples import json_lines


def test_the_first_eight_rows_are_a_json_object_a_line():
    rows = ({"text": f"Łódź {number}\n", "tags": ("a", "b")} for number in itertools.count())
    ((file, content),) = json_lines(rows).items()
    assert file == "texts.jsonl"
    assert "Łódź".encode() in content
    lines = content.decode().removesuffix("\n").split("\n")
    assert [json.loads(line) for line in lines] == [
        {"text": f"Łódź {number}\n", "tags": ["a", "b"]} for number in range(8)
    ]


def test_fewer_rows_are_all_written():
    assert json_lines([{"a": 1}], "pairs.jsonl") == {"pairs.jsonl": b'{"a": 1}\n'}
    assert json_lines([]) == {"texts.jsonl": b""}
