"""A user's own texts: their columns, and errors in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.datasets import tables
from pipelines.errors import UserError
from pipelines.tasks.text_classification import data as texts
from pipelines.text.config import TextConfig
from pipelines.text.tokenizers import Words

ROWS = {
    "train": [("so good", "yes"), ("NA", "no"), ("bad, bad", "no")],
    "validation": [("good", "yes")],
    "test": [("bad", "no"), ("café", "yes")],
}


def write(folder: Path, suffix: str, rows=ROWS, columns=("text", "label")) -> Path:
    for split, lines in rows.items():
        table = pd.DataFrame(lines, columns=list(columns))
        path = folder / f"{split}{suffix}"
        if suffix == ".csv":
            table.to_csv(path, index=False)
        elif suffix == ".jsonl":
            table.to_json(path, orient="records", lines=True)
        else:
            table.to_parquet(path)
    return folder


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_texts_and_labels_are_read_from_every_format(tmp_path, suffix):
    write(tmp_path, suffix)
    assert tables.is_folder_of_tables(str(tmp_path))
    columns, class_names, digest = tables.read(tmp_path)
    assert class_names == ("no", "yes")
    for split, rows in ROWS.items():
        assert columns[split]["text"].tolist() == [text for text, _ in rows]
        assert [class_names[i] for i in columns[split]["target"]] == [label for _, label in rows]
    assert len(digest) == 12
    assert tables.read(tmp_path)[2] == digest
    write(tmp_path, suffix, {"test": [("other", "no")]})
    assert tables.read(tmp_path)[2] != digest


def test_pairs_have_two_texts_and_numbers_are_labels(tmp_path):
    pairs = {split: [("a", "b", 1), ("c", "d", 0)] for split in ROWS}
    write(tmp_path, ".csv", pairs, ("text", "text_pair", "label"))
    columns, class_names, _ = tables.read(tmp_path)
    assert class_names == ("0", "1")
    assert columns["train"]["text_pair"].tolist() == ["b", "d"]
    np.testing.assert_array_equal(columns["train"]["target"], [1, 0])


def test_the_pipeline_takes_such_a_folder(tmp_path):
    folder = tmp_path / "my texts"
    folder.mkdir()
    write(folder, ".csv")
    data = texts.load(TextConfig(dataset=str(folder)), lambda column: Words(column, 100, 10))
    assert (data.name, data.class_names) == ("my_texts", ("no", "yes"))
    assert data.sizes == {"train": 3, "validation": 1, "test": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "test.csv").unlink(), "needs exactly one of test.csv, .*; it has 0"),
        (lambda f: (f / "test.jsonl").touch(), "needs exactly one of test.csv, .*; it has 2"),
        (lambda f: write(f, ".csv", {"test": [("a", "maybe")]}), "label 'maybe', which train lac"),
        (lambda f: (f / "test.csv").write_text("text\na\n"), "no column 'label'; it has: text"),
        (lambda f: (f / "test.csv").write_text("text,label\n"), "test.csv has no rows"),
        (
            lambda f: write(
                f, ".csv", {"test": [("a", "b", "no")]}, ("text", "text_pair", "label")
            ),
            "differ in their columns: train has text, label, test has text, text_pair, label",
        ),
    ],
)
def test_tables_that_cannot_be_used_are_an_error(tmp_path, change, message):
    write(tmp_path, ".csv")
    change(tmp_path)
    with pytest.raises(UserError, match=message):
        tables.read(tmp_path)


def test_a_missing_value_and_a_damaged_file_are_errors(tmp_path):
    write(tmp_path, ".jsonl", {**ROWS, "test": [("a", "no"), (None, "no")]})
    with pytest.raises(UserError, match=r"column 'text' of .*test.jsonl has no value in row 2"):
        tables.read(tmp_path)
    (tmp_path / "test.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"test.jsonl cannot be read as jsonl: "):
        tables.read(tmp_path)


def test_other_folders_are_not_taken_for_tables(tmp_path):
    (tmp_path / "train").mkdir()
    assert not tables.is_folder_of_tables(str(tmp_path))
    assert not tables.is_folder_of_tables("imdb_reviews")
