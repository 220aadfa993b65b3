"""Documents of bundled sets, of wiki40b with its markers, and of your own text files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipelines.errors import UserError
from pipelines.tasks.pretraining import documents
from pipelines.tasks.pretraining.config import BertPretrainingConfig
from tests.pipelines import written
from tests.pipelines.tasks.pretraining import examples

ARTICLE = """
_START_ARTICLE_
Łódź
_START_PARAGRAPH_
Łódź is a city. It has 1.5 rivers, as Mr. Smith said._NEWLINE_It grew fast.
_START_SECTION_
History
_START_PARAGRAPH_
In 1423 it got rights.
"""


def config(dataset: str, **options) -> BertPretrainingConfig:
    return BertPretrainingConfig(dataset=dataset, **options)


def test_sentences_and_labels_are_those_of_the_set(tmp_path):
    examples.store_documents(tmp_path)
    found = documents.load(config("shores", data_dir=str(tmp_path)))
    for split, rows in examples.documents().items():
        assert found.sentences[split] == [row["sentences"] for row in rows]
        assert found.labels[split].tolist() == [row["topic"] for row in rows]
    assert (found.name, found.version, found.class_names) == ("shores", "2.0.0", ("sea", "wood"))
    assert len(found.digest) == 12


def test_the_markers_and_headings_of_wiki40b_are_left_out(tmp_path):
    text = written.TEXT
    features = {"wikidata_id": text, "text": text, "version_id": text}
    row = {"wikidata_id": "Q580", "text": ARTICLE, "version_id": "1"}
    empty = {**row, "text": "\n_START_ARTICLE_\nNothing\n"}
    rows = {"train": [row, empty, row], "validation": [row], "test": [row]}
    name = written.store(tmp_path, "wiki_forty/en", features, rows)
    found = documents.load(config(name, data_dir=str(tmp_path)))
    assert found.sentences["train"] == 2 * [
        [
            "Łódź is a city.",
            "It has 1.5 rivers, as Mr. Smith said.",
            "It grew fast.",
            "In 1423 it got rights.",
        ]
    ]
    assert found.class_names == ()
    assert found.labels["train"].tolist() == [0, 0]
    assert found.left_out == {"train": 1, "validation": 0, "test": 0}
    assert found.notes == ["left out: 1 document of train without text"]


def test_each_line_of_text_without_markers_is_a_paragraph():
    text = "One.  Two\tthree.\n\nFour"
    assert list(documents.paragraphs(text)) == ["One.  Two\tthree.", "Four"]
    assert documents.sentences_of(text.encode()) == ["One.", "Two three.", "Four"]
    assert documents.sentences_of(np.array([b"a b", b" ", "é".encode()], object)) == ["a b", "é"]


def write(folder: Path, **splits: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in splits.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def test_a_blank_line_ends_a_document(tmp_path):
    folder = write(
        tmp_path / "my texts",
        train="\ufeffOne  line.\nTwo.\n\n \nNext document.\n",
        validation="A.",
        test="B.",
    )
    found = documents.load(config(str(folder)))
    assert found.sentences["train"] == [["One line.", "Two."], ["Next document."]]
    assert found.name == "my_texts"
    write(folder, train="Other.")
    assert documents.load(config(str(folder))).digest != found.digest


def test_a_folder_of_files_is_a_split(tmp_path):
    folder = write(tmp_path, validation="A.", test="B.")
    write(folder / "train", b="Of b.", a="Of a.\nMore of a.")
    found = documents.load(config(str(folder)))
    assert found.sentences["train"] == [["Of a.", "More of a."], ["Of b."]]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": "a", "test": "b"}, r"has too few lines to be split into two parts"),
        ({"test": "b"}, r"has no text for train; it has: test"),
        ({"train": "a", "validation": " \n\n", "test": "b"}, "has no text in its validation split"),
    ],
)
def test_folders_that_cannot_be_used_are_an_error(tmp_path, splits, message):
    with pytest.raises(UserError, match=message):
        documents.load(config(str(write(tmp_path, **splits))))


def test_files_of_another_encoding_are_read_and_noted(tmp_path):
    folder = write(tmp_path, train="a", validation="b", test="c")
    (folder / "test.txt").write_bytes("Łódź".encode("utf-16"))
    found = documents.load(config(str(folder)))
    assert found.sentences["test"] == [["Łódź"]]
    assert found.notes == [f"{folder}/test.txt is read as utf-16, as it is not UTF-8"]


def test_the_documents_of_one_file_are_split_as_wholes(tmp_path):
    folder = write(tmp_path, novel="\n\n".join(f"{n} a.\n{n} b." for n in range(20)))
    found = documents.load(config(str(folder / "novel.txt")))
    assert {split: len(own) for split, own in found.sentences.items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    for own in found.sentences.values():
        assert all(a[:-3] == b[:-3] for a, b in own)
    other = documents.load(config(str(folder / "novel.txt"), split_seed=1))
    assert other.sentences["test"] != found.sentences["test"]
    assert other.digest != found.digest


def test_rows_of_a_table_are_documents_of_sentences(tmp_path):
    rows: list[dict[str, str | None]] = [
        {"text": f"It is {n}. So be it.\n\nEnd."} for n in range(4)
    ]
    rows.append({"text": None})
    table = tmp_path / "rows.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = documents.load(config(str(table)))
    every = [list(document) for own in found.sentences.values() for document in own]
    assert sorted(every) == [[f"It is {n}.", "So be it.", "End."] for n in range(4)]
    assert found.left_out == {"train": 1, "validation": 0, "test": 0}


def test_a_set_without_text_is_an_error(tmp_path):
    features = {"label": written.label("a", "b"), "tokens": tfds.features.Sequence(written.TEXT)}
    rows = [{"label": 0, "tokens": ["a"]}]
    name = written.store(
        tmp_path, "without_text", features, {"train": rows, "validation": rows, "test": rows}
    )
    with pytest.raises(UserError, match=r"has no feature text, and no sentences, .*label, tokens"):
        documents.load(config(name, data_dir=str(tmp_path)))


def test_the_first_sentences_are_of_each_document_in_turn(tmp_path):
    folder = write(tmp_path, train="a", validation="b", test="A.\nB.\nC.\n\nD.\n\nE.\nF.")
    found = documents.load(config(str(folder)))
    for count, expected in ((2, "AD"), (5, "ADEBF"), (9, "ADEBFC")):
        sentences = documents.first_sentences(found, "test", count)
        assert sentences.tolist() == [f"{letter}." for letter in expected]
