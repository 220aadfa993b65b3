"""A user's own files: which count, which splits they are, and what a path holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pipelines.datasets import files
from pipelines.errors import UserError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a")
    return folder


def test_what_systems_and_editors_leave_behind_does_not_count(tmp_path):
    touch(tmp_path, "b.txt", "a/c.txt", ".DS_Store", "._b.txt", "Thumbs.db", "~$b.docx")
    touch(tmp_path, "__MACOSX/b.txt", ".ipynb_checkpoints/b.txt", "a/desktop.ini")
    assert [path.name for path in files.children(tmp_path)] == ["a", "b.txt"]
    assert [path.name for path in files.walk(tmp_path)] == ["c.txt", "b.txt"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.csv", "valid.csv", "test.csv"], ["train", "validation", "test"]),
        (["Training.TSV", "dev.csv"], ["train", "validation"]),
        (["val.csv", "TEST.CSV", "trainer.csv", "test.md"], ["validation", "test"]),
        (["train/a.csv", "test/a.csv"], []),
    ],
)
def test_splits_go_by_the_names_that_people_use(tmp_path, names, expected):
    found = files.of_splits(touch(tmp_path, *names), [".csv", ".tsv"])
    assert list(found) == expected


def test_folders_are_splits_where_no_endings_are_given(tmp_path):
    touch(tmp_path, "Train/a.csv", "test/a.csv", "validation.csv")
    assert list(files.of_splits(tmp_path)) == ["train", "test"]


def test_two_files_of_one_split_are_an_error(tmp_path):
    touch(tmp_path, "dev.csv", "valid.tsv")
    with pytest.raises(UserError, match=r"two files for its validation split: dev.csv and valid.t"):
        files.of_splits(tmp_path, [".csv", ".tsv"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "no files"),
        (["a.png"], "1 image: a.png"),
        (["x/a.png", "x/b.JPG", "y/c.txt"], "2 images and 1 .txt file in x, y"),
        (
            ["a.csv", "b.csv", "LICENSE"],
            "2 CSV tables and 1 file without an ending: LICENSE, a.csv",
        ),
        (["a.zip"], "1 archive that is not unpacked: a.zip"),
        (["a.zip", "b.gz"], "2 archives that are not unpacked: a.zip"),
        (["a", "b"], "2 files without an ending: a, b"),
    ],
)
def test_a_path_is_described_by_what_it_holds(tmp_path, names, expected):
    assert files.describe(touch(tmp_path, *names)).startswith(expected)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("own.zip", "holds one archive that is not unpacked; unpack it"),
        ("own.tar.gz", "holds one archive that is not unpacked; unpack it"),
        ("own.xlsx", "holds one .xlsx file; save it as CSV in UTF-8"),
        ("own.docx", "holds one .docx file; save it as plain text, .txt"),
        ("own.json", "holds one .json file; write it with one JSON object a line, as .jsonl"),
        ("own.png", "holds one image"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_an_unlike_path_says_what_is_needed_and_what_to_do(tmp_path, name, advice, inside):
    touch(tmp_path, name)
    error = str(files.unlike(tmp_path if inside else tmp_path / name, "figures", "a table"))
    assert error.startswith(f"figures needs a table, but {tmp_path}")
    assert error.endswith(advice.partition("; ")[2] if inside else advice)


def test_the_digest_is_that_of_the_bytes_in_their_order(tmp_path):
    first, second = (touch(tmp_path, "a", "b") / name for name in "ab")
    second.write_text("b")
    assert len(files.digest([first, second])) == 12
    assert files.digest([first, second]) != files.digest([second, first])


def test_the_hash_of_a_value_is_that_of_its_json():
    content = ["train", ("text", ["a", "ü", None, 1.5]), {"path": Path("b"), "c": b"d"}]
    whole = json.dumps(content, default=repr).encode()
    assert files.json_hash(content).digest() == hashlib.sha256(whole).digest()


def test_numbers_and_choices_are_words():
    assert [files.number(n, "row") for n in (0, 1, 1200)] == ["0 rows", "1 row", "1,200 rows"]
    assert [files.one_of(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a or b", "a, b or c"]
