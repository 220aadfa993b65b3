"""A user's own tables: every value as its text, every row in one split, errors with their place."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import Config
from pipelines.datasets import split_tables, tables
from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError

CONFIG = Config()
LABELS = ["01", "1e5", "true", "NA", "007", "null", "None", "nan", "1.50", " x "]


def write(file: Path, rows: Sequence[Sequence[str]], encoding: str = "utf-8", **options) -> Path:
    with file.open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream, **options).writerows(rows)
    return file


def columns_of(table: tables.Table) -> dict[str, list]:
    return {name: list(column) for name, column in table.columns.items()}


def rows_of(table: tables.Table) -> list[list[str]]:
    return [list(row) for row in zip(*table.columns.values(), strict=True)]


LATIN = st.characters(codec="cp1252", exclude_characters="\0")
WIDE = st.characters(exclude_categories=["Cs"], exclude_characters="\0\uffff")


@settings(max_examples=60)
@given(st.data(), st.sampled_from(";\t|,"), st.booleans())
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_any_table_of_texts_is_read_exactly(tmp_path_factory, encoding, data, separator, told):
    cell = st.text(LATIN if encoding == "cp1252" else WIDE, max_size=5)
    rows = data.draw(st.lists(st.tuples(cell, cell), min_size=1, max_size=5))
    # A file in Latin-1 is recognized by bytes that are not UTF-8; rows without values are blank.
    last = ("ÄÖÜäöü", "Öl " * 30)
    given_rows = [*rows, last]
    path = tmp_path_factory.mktemp("own") / "own.csv"
    write(path, [("text", "label"), *given_rows], encoding, delimiter=separator)
    table = tables.read(path, Config(encoding=encoding if told else ""))
    assert rows_of(table) == list(map(list, given_rows))
    assert table.separator == separator


@pytest.mark.parametrize("suffix", [".csv", ".TSV", ".jsonl", ".ndjson", ".parquet"])
def test_values_are_the_texts_that_stand_in_the_file(tmp_path, suffix):
    path = tmp_path / f"own{suffix}"
    if suffix == ".parquet":
        pd.DataFrame({"label": LABELS}).to_parquet(path)
    elif "nd" in suffix or "json" in suffix:
        path.write_text("".join(json.dumps({"label": label}) + "\n\n" for label in LABELS))
    else:
        write(path, [["id", "label"], *([str(i), label] for i, label in enumerate(LABELS))])
    assert list(tables.read(path, CONFIG).columns["label"]) == LABELS


def test_numbers_and_truth_in_json_are_as_they_are_written(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"a": 1.50, "b": [1e5, {"c": 007}]}\n'.replace("007", "7"))
    path.write_text(path.read_text() + '{"a": true}\n{"a": null, "b": NaN}\n{"a": -0}\n')
    table = tables.read(path, CONFIG)
    assert columns_of(table) == {
        "a": ["1.50", "true", None, "-0"],
        "b": [["1e5", {"c": "7"}], None, None, None],
    }


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.array([1, None, 20], "Int64"), ["1", None, "20"]),
        ([True, False, None], ["true", "false", None]),
        (pd.Categorical(["b", "a", None]), ["b", "a", None]),
        ([0.5, np.nan, 1e5], ["0.5", None, "100000.0"]),
        ([b"a", b"\xc3\xa9", None], [b"a", b"\xc3\xa9", None]),
    ],
)
def test_values_of_parquet_are_texts_and_none_stays_none(tmp_path, column, expected):
    pd.DataFrame({"x": column}).to_parquet(tmp_path / "own.parquet")
    table = tables.read(tmp_path / "own.parquet", CONFIG)
    assert list(table.columns["x"]) == expected
    assert table.place(1) == f"{tmp_path}/own.parquet, row 2"


def test_bytes_of_parquet_are_texts_where_texts_are_needed(tmp_path):
    pd.DataFrame({"x": [b"a", b"\xc3\xa9", b"\xff"]}).to_parquet(tmp_path / "own.parquet")
    table = tables.read(tmp_path / "own.parquet", CONFIG)
    with pytest.raises(UserError, match=r"own.parquet, row 3: 'x' is not a text, but b'\\xff'"):
        tables.of_texts(table, CONFIG)
    assert list(tables.of_texts(table, Config(skip_bad=True)).columns["x"]) == ["a", "é"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.csv", b"", "own.csv has no rows"),
        ("own.csv", b"text,label\n", "own.csv has no rows"),
        ("own.jsonl", b"\n", "own.jsonl has no rows"),
        ("own.csv", b"\xc3\xa9,a\nb\xe9,c\n", "own.csv is damaged: line 2 has the byte 0xe9"),
        ("own.csv", b"text,label\nWell, a,b\n", "own.csv, line 2: 3 fields, but the header has 2"),
        ("own.jsonl", b'{"a": 1}\n{"a"\n', "own.jsonl, line 2: not JSON: Expecting"),
        ("own.jsonl", b"[1]\n", r"own.jsonl, line 1: a JSON object is needed, not 1"),
        ("own.jsonl", b'{"a": 1, "a": 2}', "own.jsonl, line 1: not JSON: 'a' has two values"),
        ("own.parquet", b"PAR1", "own.parquet cannot be read as Parquet: "),
        ("own.json", b"[]", "own.json is not a table: its name must end in .csv, .tsv, .*parquet"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        tables.read(tmp_path / name, CONFIG)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("good film,pos", r"'text'; it has: good film, pos \(the first row has to name the colu"),
        ("text,class", "has no column 'label'; it has: text, class$"),
        ("text,label,text", "has two columns 'text'"),
        ("text,label,text_pair,text_pair", "has two columns 'text_pair'"),
    ],
)
def test_a_column_is_there_once(tmp_path, header, message):
    (tmp_path / "own.csv").write_text(f"{header}\n" + ",".join("abcd"[: header.count(",") + 1]))
    with pytest.raises(UserError, match=message):
        split_tables.read_splits(tmp_path / "own.csv", CONFIG, ("text", "label"), ("text_pair",))


def test_columns_that_are_not_needed_may_have_one_name(tmp_path):
    (tmp_path / "own.csv").write_text(
        "id,text,note,note\n" + "".join(f"1,{n},a,b\n" for n in "abc")
    )
    found = split_tables.read_splits(tmp_path / "own.csv", CONFIG, ["text"])
    assert sorted(found[split].columns["text"][0] for split in SPLITS) == ["a", "b", "c"]
    assert all(table.columns.keys() == {"text"} for table in found.values())


def test_parquet_may_have_columns_of_one_name_too(tmp_path):
    column = pyarrow.array(["a"])
    table = pyarrow.table([column, column, column], names=["x", "y", "x"])
    pyarrow.parquet.write_table(table, tmp_path / "own.parquet")
    found = tables.read(tmp_path / "own.parquet", CONFIG)
    assert (list(found.columns), found.repeated) == (["y"], {"x"})


def splits(folder: Path, **rows: Sequence[tuple[str, str]]) -> Path:
    for name, own in rows.items():
        write(folder / f"{name}.csv", [("text", "label"), *own])
    return folder


def test_splits_are_the_tables_of_their_names(tmp_path):
    splits(tmp_path, Train=[("a", "x"), ("b", "y")], dev=[("c", "x")], test=[("d", "y")])
    splits(tmp_path, more=[("e", "x")])
    found = split_tables.read_splits(tmp_path, CONFIG, ("text", "label"), label="label")
    assert list(found) == list(SPLITS)
    assert [rows_of(table) for table in found.values()] == (
        [[["a", "x"], ["b", "y"]], [["c", "x"]], [["d", "y"]]]
    )
    assert split_tables.notes(found) == (
        f"{tmp_path}/more.csv is not read: its name is not that of a split",
    )


def test_a_missing_split_is_cut_off_from_train(tmp_path):
    rows = [(f"text {n}", "xy"[n % 2]) for n in range(40)]
    splits(tmp_path, train=rows, test=[("other", "x")])
    found = split_tables.read_splits(tmp_path, CONFIG, ("text", "label"), label="label")
    assert [len(table) for table in found.values()] == [36, 4, 1]
    assert sorted(found["validation"].columns["label"]) == ["x", "x", "y", "y"]
    assert split_tables.notes(found) == (
        f"{tmp_path}/train.csv is split into train, validation by --split_seed 0; equal rows are "
        "in one split",
    )
    other = split_tables.read_splits(
        tmp_path, Config(split_seed=1), ("text", "label"), label="label"
    )
    assert rows_of(other["validation"]) != rows_of(found["validation"])
    assert split_tables.digest(other) != split_tables.digest(found)


@pytest.mark.parametrize("inside", [False, True])
def test_one_table_is_split_with_equal_rows_together(tmp_path, inside):
    rows = [(f"text {n % 30}", "xy"[n % 2]) for n in range(90)]
    write(tmp_path / "own.csv", [("text", "label"), *rows])
    path = tmp_path if inside else tmp_path / "own.csv"
    found = split_tables.read_splits(path, CONFIG, ("text", "label"), label="label")
    texts = [set(table.columns["text"]) for table in found.values()]
    assert [len(own) for own in texts] == [22, 4, 4]
    assert len(set.union(*texts)) == 30
    assert sorted(row for table in found.values() for row in rows_of(table)) == (
        sorted(map(list, rows))
    )
    # Rows keep their lines.
    table = found["test"]
    lines = (tmp_path / "own.csv").read_text().splitlines()
    assert [lines[line - 1].split(",") for line in table.lines] == rows_of(table)


def test_empty_values_are_an_error_or_left_out_and_counted(tmp_path):
    rows = [("a", "x"), ("b", ""), (" ", "y"), ("c", "y")]
    splits(tmp_path, train=rows, validation=[("d", "x")], test=[("", "x"), ("e", "x")])
    message = f"{tmp_path}/train.csv, line 3: 'label' is empty, and 1 more bad row; mend it, or "
    with pytest.raises(UserError, match=message):
        split_tables.read_splits(tmp_path, CONFIG, ("text", "label"))
    found = split_tables.read_splits(tmp_path, Config(skip_bad=True), ("text", "label"))
    assert {split: table.left_out for split, table in found.items()} == {
        "train": 2,
        "validation": 0,
        "test": 1,
    }
    assert split_tables.notes(found)[1] == (
        f"left out: 1 row of {tmp_path}/test.csv; {tmp_path}/test.csv, line 2: 'text' is empty"
    )
    assert list(found["train"].lines) == [2, 5]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"test": [("a", "x")]}, "has no table train; it has: test"),
        (
            {"train": [("a", "x")]},
            r"too few different rows .* validation split .* \(1 row in all\)",
        ),
        (
            {"one": [("a", "x")], "two": [("a", "x")]},
            "or one table; it holds 2 CSV tables: one.csv",
        ),
        ({}, "needs train.csv, validation.csv and test.csv .* it holds no files"),
        ({"train": [("", "x")], "test": [("a", "x")]}, "line 2: 'text' is empty; mend it"),
    ],
)
def test_tables_that_cannot_be_used_are_an_error(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        split_tables.read_splits(splits(tmp_path, **rows), CONFIG, ("text", "label"))


def test_all_rows_bad_is_an_error_in_any_case(tmp_path):
    splits(tmp_path, train=[("", "x"), ("", "y")])
    with pytest.raises(UserError, match=r"train.csv has no good row: .*line 2: 'text' is empty"):
        split_tables.read_splits(tmp_path, Config(skip_bad=True), ("text", "label"))


@pytest.mark.parametrize("validation", [False, True])
def test_a_test_table_without_labels_is_left_out_and_noted(tmp_path, validation):
    rows = [("text", "label"), *((f"text {n}", "xy"[n % 2]) for n in range(40))]
    write(tmp_path / "train.csv", rows)
    write(tmp_path / "test.csv", [("id", "text"), ("1", "new"), ("2", "")])
    if validation:
        write(tmp_path / "validation.csv", [("text", "label"), ("a", "x")])
    found = split_tables.read_splits(tmp_path, CONFIG, ("text", "label"), label="label")
    assert sum(map(len, found.values())) == 40 + validation
    assert "new" not in found["test"].columns["text"]
    note = f"{tmp_path}/test.csv is left out, as it has no column 'label' to test by"
    assert any(one.startswith(note) for one in found["train"].notes)


@pytest.mark.parametrize(
    ("train", "test", "missing"),
    [
        (("text", "label"), ("title", "id"), "test.csv has no column 'text'"),
        (("text", "id"), ("text", "id"), "train.csv has no column 'label'"),
    ],
)
def test_other_tables_without_a_column_are_errors(tmp_path, train, test, missing):
    for name, header in (("train", train), ("test", test)):
        write(tmp_path / f"{name}.csv", [header, ("a", "x"), ("b", "y")])
    with pytest.raises(UserError, match=missing):
        split_tables.read_splits(tmp_path, CONFIG, ("text", "label"), label="label")


def test_tables_differ_in_no_column_that_is_read(tmp_path):
    splits(tmp_path, train=[("a", "x")], validation=[("b", "x")])
    write(tmp_path / "test.csv", [("text", "label", "text_pair"), ("a", "x", "b")])
    with pytest.raises(
        UserError, match=r"train.csv has text, label, test.csv has text, label, text"
    ):
        split_tables.read_splits(tmp_path, CONFIG, ("text", "label"), ("text_pair",))
    assert split_tables.read_splits(tmp_path, CONFIG, ("text", "label")).keys() == set(SPLITS)


def test_the_digest_changes_with_a_value_a_name_and_a_split(tmp_path):
    given_rows = {"train": [("a", "x")], "validation": [("b", "x")], "test": [("c", "x")]}
    digests = []
    for changed in (
        given_rows,
        {**given_rows, "test": [("c", "y")]},
        {**given_rows, "train": [("b", "x")], "validation": [("a", "x")]},
    ):
        found = split_tables.read_splits(splits(tmp_path, **changed), CONFIG, ("text", "label"))
        digests += [split_tables.digest(found), split_tables.digest(found)]
    assert all(len(digest) == 12 for digest in digests)
    assert len(set(digests)) == 3
    sha = hashlib.sha256()
    for split, table in found.items():
        whole = json.dumps([split, *columns_of(table).items()])
        sha.update(hashlib.sha256(whole.encode()).digest())
    assert digests[-1] == sha.hexdigest()[:12]
    assert digests[::2] == digests[1::2]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("Text,LABEL", ["text", "label"]),
        ("text,Text", ["text", "Text"]),
        ("TEXT,Text", ["TEXT", "Text"]),
        ("text_id,Label", ["text_id", "label"]),
    ],
)
def test_names_may_differ_in_letter_case_where_that_is_plain(tmp_path, header, names):
    (tmp_path / "own.csv").write_text(f"{header}\na,b\n")
    table = tables.with_names(tables.read(tmp_path / "own.csv", CONFIG), ("text", "label"))
    assert list(table.columns) == names
