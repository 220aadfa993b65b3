"""A user's own labeled texts: classes as they stand in the table, or why they are none."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError
from pipelines.tasks.text_classification import own
from pipelines.tasks.text_classification.config import TextClassificationConfig
from pipelines.tasks.text_classification.data import LabeledTexts, load
from pipelines.tasks.text_classification.task import TextClassification
from pipelines.text.config import TextConfig
from pipelines.text.tokenizers import Words
from tests.pipelines import written
from tests.pipelines.built import Built, exported

CONFIG = TextConfig()
TEXTS = ("good film", "bad film", "what a lovely day", "what an awful day", "fine", "poor")


def rows(first: str = "pos", second: str = "neg", of: str = "") -> list[tuple[str, ...]]:
    return [(f"{text}{of}", (first, second)[n % 2]) for n, text in enumerate(TEXTS)]


def write(file: Path, table: Sequence[Sequence[str]], names=("text", "label"), **options) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, **options).writerows([names, *table])
    return file


def folder(path: Path, table: Sequence[Sequence[str]] = (), **splits) -> Path:
    """Writes three splits, alike but for the words at the end of their texts."""
    for split in SPLITS:
        every = splits.get(split, table or rows(of=f" of {split}"))
        write(path / f"{split}.csv", every)
    return path


def read(path: Path, **options) -> own.OwnTexts:
    return own.read(path, TextConfig(**options))


def test_a_folder_of_tables_has_its_texts_classes_and_splits(tmp_path):
    found = read(folder(tmp_path))
    assert found.class_names == ("neg", "pos")
    assert found.notes == ()
    for split, table in found.tables.items():
        assert list(zip(*table.columns.values(), strict=True)) == rows(of=f" of {split}")


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (("NA", "pos"), "'NA' is a class like any other"),
        (("nan", "NaN"), "'NaN' and 'nan' are classes like any other"),
        (("nation", "pos"), ""),
    ],
)
def test_labels_that_may_stand_for_a_missing_one_are_kept_and_noted(tmp_path, labels, note):
    found = read(folder(tmp_path, rows(*labels)))
    assert found.class_names == tuple(sorted(labels))
    assert any(note in one for one in found.notes) if note else not found.notes


@pytest.mark.parametrize("text", ["\u200b", " \ufeff\u200d ", "\u00ad"])
def test_a_text_without_a_width_is_empty(tmp_path, text):
    path = write(tmp_path / "own.csv", [(text, "pos"), *rows()])
    with pytest.raises(UserError, match=r"own.csv, line 2: 'text' is empty"):
        read(path)


@pytest.mark.parametrize(
    "labels",
    [
        ("01", "02"),
        ("1e5", "100000"),
        ("NA", "nan"),
        ("true", "True "),
        ("007", "7"),
        ("null", "None"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_labels_are_the_texts_that_stand_in_the_table(tmp_path, labels, suffix):
    table = pd.DataFrame(rows(*labels), columns=["text", "label"])
    path = tmp_path / f"own{suffix}"
    if suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert read(path).class_names == tuple(sorted(label.strip() for label in labels))


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> Built:
    """A network for the classes "01" and "02"."""
    path = folder(tmp_path_factory.mktemp("own"), rows("01", "02"))
    config = written.config(path, str(path), "tapped_delay_line")
    return Built(TextClassification(TextClassificationConfig(**vars(config))))


def test_classes_are_served_by_the_names_in_the_table(numbered):
    default, classify = (numbered.signatures[i] for i in (0, 2))
    assert set(default.expected["classes"]) <= {b"01", b"02"}
    answer = exported(classify)(*classify.examples.values())
    assert answer["classes"].numpy().tolist() == [[b"01", b"02"]] * 6
    examples = numbered.task.examples(numbered.data)["texts.jsonl"]
    assert b'"class": "01"' in examples


def test_the_data_set_says_what_was_found_and_left_out(tmp_path):
    folder(tmp_path, train=[*rows(), ("empty", " ")], test=rows("neg", "neg", " of test"))
    config = TextConfig(dataset=str(tmp_path), skip_bad=True)
    data = load(config, lambda column: Words(column, 100, 10))
    assert data.sizes == {"train": 6, "validation": 6, "test": 6}
    assert data.left_out == {"train": 1, "validation": 0, "test": 0}
    assert data.notes == (
        f"left out: 1 row of {tmp_path}/train.csv; {tmp_path}/train.csv, line 8: 'label' is empty",
    )
    assert data.labels["train"].tolist() == [1, 0] * 3


def test_a_part_of_the_rows_is_drawn_and_keeps_all_classes(tmp_path):
    """Classes are those of all training rows, so that another draw has the same outputs."""
    folder(tmp_path)

    def part(most: int, seed: int = 0) -> LabeledTexts:
        config = TextConfig(dataset=str(tmp_path), max_examples=most, split_seed=seed)
        return load(config, lambda column: Words(column, 100, 10))

    data = part(1)
    assert data.sizes == {"train": 1, "validation": 1, "test": 1}
    assert data.class_names == ("neg", "pos")
    ((text, label),) = zip(data.raw("train")["text"], data.labels["train"], strict=True)
    assert (text, data.class_names[label]) in rows(of=" of train")
    assert len({part(1, seed).raw("train")["text"][0] for seed in range(9)}) > 1
    assert part(1).digest == data.digest != part(0).digest
    assert part(6).digest == part(0).digest


def test_pairs_have_two_texts(tmp_path):
    table = [(f"a {n}", f"b {n}", str(n % 2)) for n in range(40)]
    path = write(tmp_path / "own.csv", table, ("text_pair", "text", "label"))
    data = load(TextConfig(dataset=str(path)), lambda column: Words(column, 100, 10))
    assert set(data.raw("train")) == {"text", "text_pair"}
    assert all(text.startswith("a ") for text in data.raw("test")["text_pair"])
    assert data.sizes == {"train": 32, "validation": 4, "test": 4}


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [*rows(), ("a", "")]}, "train.csv, line 8: 'label' is empty"),
        ({"test": [("", "pos"), *rows()]}, "test.csv, line 2: 'text' is empty"),
        ({"test": [("Well", " good film", "pos")]}, "test.csv, line 2: 3 fields, but the header"),
        ({"test": [*rows(), ("a", "maybe")]}, "test.csv, line 8: the label 'maybe' of test does n"),
        ({"validation": [("a", "Pos")]}, "validation.csv, line 2: the label 'Pos' of validation"),
        ({"train": rows("pos", "pos")}, "train.csv has one class, 'pos'; classification needs two"),
    ],
)
def test_rows_that_cannot_be_used_are_an_error_with_their_line(tmp_path, splits, message):
    with pytest.raises(UserError, match=message):
        read(folder(tmp_path, **splits))


def test_rows_of_unknown_labels_can_be_left_out(tmp_path):
    found = read(folder(tmp_path, test=[*rows(of="!"), ("a", "maybe")]), skip_bad=True)
    assert found.class_names == ("neg", "pos")
    assert found.tables["test"].left_out == 1
    assert "line 8: the label 'maybe' of test does not occur in train" in found.notes[0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            [(f"text {n % 2}", f"a review {n}") for n in range(30)],
            "are the columns swapped? `text`",
        ),
        ([(f"text {n}", f"{n / 7:.3f}") for n in range(30)], "a number to predict is no class"),
        ([(f"text {n}", f"user {n}") for n in range(30)], "a class needs several examples"),
    ],
)
def test_labels_of_one_row_each_are_no_classes(tmp_path, table, message):
    path = write(tmp_path / "own.csv", table)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read(path)
    label = table[0][1]
    expected = f"30 of 30 rows of {path} have a label of their own, as {label!r} in {path}, line 2"
    assert str(caught.value).startswith(expected)


def many(of: str) -> list[tuple[str, ...]]:
    return [(f"{n} {of}", f"{n % 30 / 10}") for n in range(90)]


@pytest.mark.parametrize(
    ("splits", "note"),
    [
        ({"train": [*rows(), ("a", "Pos")]}, "the classes 'Pos', 'pos' are different ones: they d"),
        ({split: many(split) for split in SPLITS}, "the labels are 30 different numbers, as '0.0'"),
    ],
)
def test_what_a_table_holds_is_noted(tmp_path, splits, note):
    notes = read(folder(tmp_path, **splits)).notes
    assert [one for one in notes if note in one], notes


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("pos", "POS"),
        ("caf\u00e9", "cafe\u0301"),
        ("very good", "very  good"),
        ("very good", "very\u00a0good"),
        ("pos", "pos\u200b"),
        ("Straße", "STRASSE"),
    ],
)
def test_labels_that_look_alike_are_noted(tmp_path, first, second):
    found = read(folder(tmp_path, rows(first, second)))
    assert len(found.class_names) == 2
    names = ", ".join(map(ascii, sorted([first, second])))
    assert (
        f"the classes {names} are different ones: they differ in letter case, spaces or the "
        in (found.notes[-1])
    )


@pytest.mark.parametrize(
    ("label", "names"),
    [("true", ("neg", "true")), ("1.50", ("1.50", "neg")), ("-7", ("-7", "neg"))],
)
def test_labels_of_json_may_be_numbers_and_truth_values(tmp_path, label, names):
    lines = [f'{{"text": "a {n}", "label": {label}}}\n' for n in range(9)]
    lines += [f'{{"text": "b {n}", "label": "neg"}}\n' for n in range(9)]
    (tmp_path / "own.jsonl").write_text("".join(lines))
    assert read(tmp_path / "own.jsonl").class_names == names


@pytest.mark.parametrize("last", ['"label": null', '"label": NaN', '"label": ""', '"other": 1'])
def test_a_label_of_json_that_is_missing_is_an_error(tmp_path, last):
    path = tmp_path / "own.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": "b", ' + last + "}\n")
    with pytest.raises(UserError, match=r"own.jsonl, line 2: 'label' is empty; mend it, or pass"):
        read(path)


def test_white_space_around_labels_is_none_of_a_label(tmp_path):
    table = [(f"text {n}", ("pos", " pos", "neg", "neg\t ")[n % 4]) for n in range(40)]
    found = read(write(tmp_path / "own.csv", table))
    assert found.class_names == ("neg", "pos")
    assert len(found.tables["test"]) == 4


@pytest.mark.parametrize(
    "header", [" text,label ", '\ufeff"text","label"', "\ufeffid, text , label"]
)
def test_names_of_columns_may_have_spaces_quotes_and_a_mark(tmp_path, header):
    first = "1," if "id" in header else ""
    table = "".join(f"{first}{text},{label}\n" for text, label in rows())
    (tmp_path / "own.csv").write_text(f"{header}\n{table}", encoding="utf-8")
    assert read(tmp_path / "own.csv").class_names == ("neg", "pos")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own.zip", "holds one archive that is not unpacked; unpack it"),
        ("own.xlsx", "holds one .xlsx file; save it as CSV in UTF-8"),
        ("own.png", "holds one image"),
        ("train/cat/1.png", "holds 1 image in train/cat"),
    ],
)
def test_other_files_are_refused_with_what_is_needed(tmp_path, name, message):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"abc")
    path = tmp_path if "/" in name else tmp_path / name
    with pytest.raises(
        UserError, match=r"text_classification needs a table .* with the columns"
    ) as e:
        read(path)
    assert message in str(e.value)
