"""Questions in files: SQuAD's JSON, tables, JSON lines and Parquet, read to the same rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.tasks.question_answering import squad

CONTEXT = "Zoë lives\r\n in Rome 🙂."
QUESTIONS = [
    ("q1", "Where, then?", [("Rome", 15), ("in Rome", 12)]),
    ("q2", 'Who "lives"?', [("Zoë", 0)]),
    ("q3", "Why?", []),
]
EXPECTED = [(name, asked, CONTEXT, answers) for name, asked, answers in QUESTIONS]


def read(folder, name: str, content: str | bytes, **options) -> squad.Table:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return squad.read(path, Config(**options))


def rows_of(table) -> list[tuple]:
    names = ("id", "question", "context", "answers")
    return list(zip(*(table.columns[name] for name in names), strict=True))


def nested(**more: Any) -> dict[str, Any]:
    asked = [
        {
            "id": name,
            "question": question,
            "is_impossible": not answers,
            "answers": [{"text": text, "answer_start": start} for text, start in answers],
            "plausible_answers": [{"text": "Rome", "answer_start": 15}],
        }
        for name, question, answers in QUESTIONS
    ]
    paragraph = {"context": CONTEXT, "qas": asked}
    return {"version": "v2.0", "data": [{"title": "Z", "paragraphs": [paragraph]}], **more}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_squad_is_read(indent, ascii_only, tmp_path):
    content = json.dumps(nested(), indent=indent, ensure_ascii=ascii_only)
    for encoded in (content.encode(), content.encode("utf-16"), b"\xef\xbb\xbf" + content.encode()):
        table = read(tmp_path, "a.json", encoded)
        assert rows_of(table) == EXPECTED
        assert table.place(1).endswith("a.json, question 2")


@pytest.mark.parametrize("part", ["data", "paragraphs", "list"])
def test_parts_of_squad_are_read(part, tmp_path):
    whole = nested()
    article = whole["data"][0]
    value = {"data": {"data": article["paragraphs"]}, "paragraphs": article, "list": whole["data"]}
    assert rows_of(read(tmp_path, "a.json", json.dumps(value[part]))) == EXPECTED


def columns_of(answers) -> dict[str, list]:
    return {"text": [text for text, _ in answers], "answer_start": [start for _, start in answers]}


FORMS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "columns": lambda answers: {"answers": columns_of(answers)},
    "list": lambda answers: {"answers": [{"text": t, "answer_start": s} for t, s in answers]},
    "texts": lambda answers: {
        "answers": [text for text, _ in answers],
        "answer_start": [start for _, start in answers],
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", "array", "data"])
def test_rows_of_questions_are_read_in_every_form(form, suffix, tmp_path):
    rows = [
        {"id": name, "question": asked, "context": CONTEXT, **FORMS[form](answers)}
        for name, asked, answers in QUESTIONS
    ]
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
        table = squad.read(tmp_path / "a.parquet", Config())
    elif suffix in ("array", "data"):
        table = read(tmp_path, "a.json", json.dumps(rows if suffix == "array" else {"data": rows}))
    else:
        table = read(tmp_path, f"a{suffix}", "\n".join(map(json.dumps, rows)))
    assert rows_of(table) == EXPECTED


def written(rows: list[dict[str, Any]], separator: str = ",", end: str = "\n") -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0], delimiter=separator, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_keep_line_ends_within_a_passage(suffix, separator, end, tmp_path):
    rows: list[dict[str, Any]] = [
        {"question": "a", "context": CONTEXT, "answer": "Rome", "answer_start": 15},
        {"question": "b", "context": CONTEXT.replace("\r", ""), "answer": "Rome"},
        {"question": "c", "context": CONTEXT, "answer": "", "answer_start": "-1"},
        {"question": "d", "context": CONTEXT, "answer": "Zoë", "answer_start": "0.0"},
    ]
    table = read(tmp_path, f"a{suffix}", written(rows, separator, end))
    assert list(table.columns["context"]) == [row["context"] for row in rows]
    assert table.columns["answers"] == [[("Rome", 15)], [("Rome", None)], [], [("Zoë", 0)]]


@pytest.mark.parametrize("write", [str, json.dumps])
def test_a_field_of_a_table_may_have_all_answers(write, tmp_path):
    rows = [
        {"question": name, "context": CONTEXT, "answers": write(FORMS[form](answers)["answers"])}
        for form in ("columns", "list")
        for name, _, answers in QUESTIONS[:2]
    ]
    table = read(tmp_path, "a.csv", written(rows))
    assert table.columns["answers"] == [answers for _, _, answers in QUESTIONS[:2]] * 2


def test_a_text_in_brackets_is_an_answer(tmp_path):
    rows = [{"question": "a", "context": "see [1] {x}", "answer": text} for text in ("[1]", "{x}")]
    table = read(tmp_path, "a.csv", written(rows))
    assert table.columns["answers"] == [[("[1]", None)], [("{x}", None)]]


GOOD = {"question": "a", "context": "b", "answer": "b"}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"question": ""}, "'question' is empty"),
        ({"question": None}, "'question' is empty"),
        ({"context": " \n"}, "'context' is empty"),
        ({"context": ["b"]}, "'context' is no text"),
        ({"answer_start": "x"}, "'answer_start' must be a whole number, not 'x'"),
        ({"answer_start": 1.5}, "'answer_start' must be a whole number, not '1.5'"),
        ({"answer_start": True}, "'answer_start' must be a whole number, not 'true'"),
        ({"answers": ["a", "b"], "answer_start": [1]}, "2 answers, but 1 in 'answer_start'"),
        ({"answers": {"text": ["b"], "answer_start": []}, "answer_start": None}, ""),
        ({"answers": [["b"]]}, "an answer is no text"),
        ({"answers": [{"text": "b"}, "b"]}, "some of the answers are texts, and some are not"),
        ({"answers": "{'text': array(['b'], dtype=object)}"}, "cannot be read as JSON"),
    ],
)
def test_a_bad_row_is_named_or_left_out(bad, words, tmp_path):
    content = f"{json.dumps(GOOD)}\n\n{json.dumps({**GOOD, **bad})}\n"
    if not words:
        assert read(tmp_path, "a.jsonl", content).columns["answers"] == [[("b", None)]] * 2
        return
    with pytest.raises(UserError) as caught:
        read(tmp_path, "a.jsonl", content)
    assert str(caught.value).startswith(f"{tmp_path / 'a.jsonl'}, line 3: ")
    assert words in str(caught.value)
    table = read(tmp_path, "a.jsonl", content, skip_bad=True)
    assert (len(table), table.left_out) == (1, 1)
    assert words in table.notes[-1]


def test_half_of_a_character_is_named(tmp_path):
    whole = nested()
    whole["data"][0]["paragraphs"][0]["qas"][1]["question"] = "\ud83d"
    with pytest.raises(UserError, match=r"question 2: half of a character, \\ud83d"):
        read(tmp_path, "a.json", json.dumps(whole))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "", "line 1: not JSON"),
        ("a.json", '{"data": [\n1,\n}', "line 3: not JSON"),
        ("a.json", '{"data": 5}', "not in SQuAD's form: 'data' is no list"),
        ("a.json", '{"data": ["a"]}', 'not in SQuAD\'s form: "a" is no object'),
        ("a.json", '{"data": []}', "has: nothing"),
        ("a.json", "[1]", "not in SQuAD's form"),
        ("a.jsonl", '{"text": "a", "label": "b"}', "has: text, label"),
        ("a.csv", "question,context\na,b\n", "has: question, context"),
        ("a.json", '{"images": [], "annotations": []}', "has: images, annotations"),
    ],
)
def test_other_data_is_refused_in_one_sentence(name, content, words, tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path, name, content)
    assert words in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
