"""A user's own running text: files, folders and tables, split by document."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import Config
from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError
from pipelines.text import documents

CONFIG = Config()


def write(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


def read(path: Path, **options) -> documents.OwnDocuments:
    return documents.read(path, Config(**options), "language_modeling")


@pytest.mark.parametrize(
    "names",
    [
        {"train": "train.txt", "validation": "validation.txt", "test": "test.txt"},
        {"train": "Training.TXT", "validation": "dev.txt", "test": "Test.txt"},
        {"train": "train/x/a.txt", "validation": "val/a.txt", "test": "test.txt"},
        {"train": "train.csv", "validation": "valid.csv", "test": "test.csv"},
    ],
)
def test_splits_are_files_or_folders_of_their_names(tmp_path, names):
    head = "text\n" if names["train"].endswith(".csv") else ""
    write(tmp_path, {name: f"{head}of {split}" for split, name in names.items()})
    found = read(tmp_path)
    assert found.texts == {split: [f"of {split}"] for split in SPLITS}
    assert (found.notes, found.rows) == ([], bool(head))
    assert found.left_out == dict.fromkeys(SPLITS, 0)


def test_a_folder_of_files_is_split_as_wholes_with_copies_together(tmp_path):
    write(tmp_path, {f"{n % 3}/{n}.txt": f"text {n % 20}" for n in range(40)})
    found = read(tmp_path)
    assert [len(found.texts[split]) for split in SPLITS] == [32, 4, 4]
    assert sorted(text for own in found.texts.values() for text in own) == (
        sorted(f"text {n % 20}" for n in range(40))
    )
    assert found.notes == [
        f"40 documents of {tmp_path} split into train, validation, test by --split_seed 0; equal "
        "ones are in one split"
    ]
    assert read(tmp_path).digest() == found.digest()
    whole = json.dumps([(split, texts.tolist()) for split, texts in found.texts.items()])
    assert found.digest() == hashlib.sha256(whole.encode()).hexdigest()[:12]
    assert read(tmp_path, split_seed=1).digest() != found.digest()


@given(
    st.lists(st.text("ab \n", min_size=1, max_size=9).filter(str.strip), min_size=10, max_size=40)
)
def test_one_file_is_cut_between_lines_and_nothing_is_lost(tmp_path_factory, parts):
    text = "".join(f"{part}.\n" for part in parts)
    folder = write(tmp_path_factory.mktemp("own"), {"own.txt": text})
    found = read(folder / "own.txt")
    assert "".join(found.texts[split][0] for split in SPLITS) == text
    assert all(own[0].strip() and own[0].endswith("\n") for own in found.texts.values())
    assert abs(len(found.texts["train"][0]) - 0.8 * len(text)) <= 12


def test_a_file_may_be_divided_into_documents_that_stay_whole(tmp_path):
    write(tmp_path, {"own.txt": "|".join(f"text {n}" for n in range(20))})
    found = documents.read(tmp_path / "own.txt", CONFIG, "some", lambda text: text.split("|"))
    assert [len(found.texts[split]) for split in SPLITS] == [16, 2, 2]


def test_files_of_several_documents_are_split_as_wholes(tmp_path):
    write(tmp_path, {f"{n}.txt": f"a {n}|b {n}" for n in range(10)})
    found = documents.read(tmp_path, CONFIG, "some", lambda text: text.split("|"))
    for own in found.texts.values():
        assert [text[2:] for text in own[::2]] == [text[2:] for text in own[1::2]]
    assert found.notes[0].startswith("10 files of ")


def test_missing_splits_are_cut_off_from_train(tmp_path):
    write(tmp_path, {"train.txt": "a line\n" * 100, "test.txt": "other"})
    found = read(tmp_path)
    assert [own[0].count("\n") for own in found.texts.values()] == [90, 10, 0]
    assert found.texts["test"] == ["other"]
    write(tmp_path, {f"train/{n}.txt": f"text {n}" for n in range(19)})
    assert [len(own) for own in read(tmp_path).texts.values()] == [18, 2, 1]


def test_what_has_no_text_or_cannot_be_read_is_left_out_and_counted(tmp_path):
    write(tmp_path, {f"train/{n}.txt": f"text {n}" for n in range(5)})
    write(tmp_path, {"train/6.txt": " \r\n\t", "train/.7.txt": "hidden", "other.txt": "beside"})
    write(tmp_path, {"validation.txt": "a", "test.txt": "text 1"})
    (tmp_path / "train/8.txt").write_bytes("ééé".encode() + b"\xff")
    with pytest.raises(UserError, match=r"8.txt is damaged: line 1 has the byte 0xff"):
        read(tmp_path)
    found = read(tmp_path, skip_bad=True)
    assert found.texts["train"].tolist() == [f"text {n}" for n in range(5)]
    assert found.left_out == {"train": 2, "validation": 0, "test": 0}
    bad, empty, beside, copies = found.notes
    assert bad.startswith(f"left out: 1 file; {tmp_path}/train/8.txt is damaged: line 1")
    assert empty == f"left out: 1 file without text, as {tmp_path}/train/6.txt"
    assert beside == f"not read: 1 text file beside the splits, as {tmp_path}/other.txt"
    assert copies == ("1 of 1 document of test are in an earlier split, too, the first is 'text 1'")


def test_encodings_are_recognized_and_noted(tmp_path):
    (tmp_path / "own.txt").write_bytes("Öl\r\n".encode("cp1252") * 20)
    found = read(tmp_path)
    assert found.texts["test"] == ["Öl\n" * 2]
    assert found.notes[0] == f"{tmp_path}/own.txt is read as cp1252, as it is not UTF-8"
    assert read(tmp_path, encoding="cp437").texts["test"] == ["╓l\n" * 2]


def test_rows_of_a_table_are_documents(tmp_path):
    rows = [{"text": f"a {n}\nb", "id": n} for n in range(20)]
    table = [*rows, {"text": ""}, {"id": 3}]
    write(tmp_path, {"own.jsonl": "".join(json.dumps(row) + "\n" for row in table)})
    found = read(tmp_path / "own.jsonl")
    assert [len(own) for own in found.texts.values()] == [16, 2, 2]
    assert found.rows
    assert found.left_out["train"] == 2
    assert found.notes[0] == (
        f"left out: 2 rows without text, the first at {tmp_path}/own.jsonl, line 21"
    )


def test_a_table_of_one_column_needs_no_quotes(tmp_path):
    write(tmp_path, {"own.csv": "text\n" + "".join(f"Well, {n}; so.\n" for n in range(10))})
    found = read(tmp_path)
    assert sorted(text for own in found.texts.values() for text in own) == (
        [f"Well, {n}; so." for n in range(10)]
    )


@pytest.mark.parametrize("name", ["README.txt", "notes/LICENSE.txt"])
def test_text_beside_tables_of_splits_is_not_read(tmp_path, name):
    write(tmp_path, {f"{split}.csv": f"text\n{split}" for split in SPLITS} | {name: "Read me."})
    found = read(tmp_path)
    assert found.texts == {split: [split] for split in SPLITS}
    assert found.notes == [f"not read: 1 text file beside the splits, as {tmp_path}/{name}"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, r"language_modeling needs a \.txt file, .* holds no files"),
        ({"a.png": "a"}, r"language_modeling needs a \.txt file, .* holds 1 image: a.png"),
        ({"a.zip": "a"}, "holds 1 archive that is not unpacked: a.zip; unpack it"),
        ({"a.docx": "a"}, "holds 1 .docx file: a.docx; save it as plain text, .txt"),
        ({"a.csv": "source,target\na,b"}, "a.csv has no column 'text'; it has: source, target"),
        (
            {"a.csv": "text\nb", "a.txt": "a"},
            "text files or tables are read, not both; pass the one",
        ),
        ({"train.csv": "text\nb", "test.txt": "a"}, "text files or tables are read, not both"),
        ({"own.txt": "one line"}, "has too few lines to be split into three parts"),
        ({"own.txt": " \n"}, "has no text in its train split"),
        ({"own.txt": "", "b.txt": ""}, "has no text in its train split"),
        ({"test.txt": "a"}, "has no text for train; it has: test"),
        (
            {"train.txt": "a\nb\n", "dev.txt": "", "test.txt": "c"},
            "no text in its validation split",
        ),
        ({"a.jsonl": '{"text": ["a"]}'}, r"a.jsonl, line 1: 'text' is not a text, but \['a'\]"),
    ],
)
def test_what_holds_no_documents_is_an_error(tmp_path, texts, message):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path, texts))


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds nothing: there is no such file or folder"):
        read(tmp_path / "none")
