"""A user's own parallel texts: tables, and plain files line by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError
from pipelines.tasks.translation import own
from pipelines.tasks.translation.config import TranslationConfig

CONFIG = TranslationConfig()
SKIP = TranslationConfig(skip_bad=True)


def write(folder: Path, **texts: str) -> Path:
    """Writes files whose endings follow an underscore: `train_en`, `corpus_de_txt`."""
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8", newline="")
    return folder


def pairs(tables) -> dict[str, list[tuple[str, str]]]:
    return {
        split: list(zip(table.columns["source"], table.columns["target"], strict=True))
        for split, table in tables.items()
    }


def lines(word: str, count: int = 30) -> str:
    return "".join(f"{word} {number}\n" for number in range(count))


@pytest.mark.parametrize("endings", [("de", "en"), ("de_txt", "en_txt"), ("src", "tgt")])
def test_each_split_has_two_files(tmp_path, endings):
    first, second = endings
    for split in ("train", "valid", "test"):
        write(tmp_path, **{f"{split}_{first}": f"a {split}\n", f"{split}_{second}": f"b {split}"})
    write(tmp_path, README_md="Read me.")
    found = own.read(tmp_path, CONFIG)
    assert pairs(found) == {
        split: [(f"a {name}", f"b {name}")]
        for split, name in zip(SPLITS, ("train", "valid", "test"), strict=True)
    }
    train, other = (f"train.{ending.replace('_', '.')}" for ending in endings)
    note = f"sources are the lines of {train}, targets those of {other}; --reverse true swaps them"
    assert found["train"].notes == (note,)


def test_a_carriage_return_within_a_line_is_no_line_break(tmp_path):
    write(tmp_path, a_de="x\ry\n" + lines("eins"), a_en="z\n" + lines("one"))
    every = [pair for split in pairs(own.read(tmp_path, CONFIG)).values() for pair in split]
    assert ("x\ry", "z") in every
    assert ("eins 0", "one 0") in every


@pytest.mark.parametrize(
    ("names", "ignored"),
    [
        (("corpus_de", "corpus_en"), {"README": "a", "LICENSE_md": "b"}),
        (("a_txt", "b_txt"), {}),
        (("Books_de-en_de", "Books_de-en_en"), {"README_txt": "a", "Books_ids": "1"}),
    ],
)
def test_two_files_are_split_line_by_line(tmp_path, names, ignored):
    first, second = names
    write(tmp_path, **{first: lines("eins"), second: lines("one"), **ignored})
    found = pairs(own.read(tmp_path, CONFIG))
    assert {split: len(own_pairs) for split, own_pairs in found.items()} == {
        "train": 24,
        "validation": 3,
        "test": 3,
    }
    every = [pair for own_pairs in found.values() for pair in own_pairs]
    assert sorted(every) == sorted((f"eins {n}", f"one {n}") for n in range(30))
    other = own.read(tmp_path, TranslationConfig(split_seed=1))
    assert pairs(other) != found


def test_sources_and_targets_can_be_swapped_and_the_note_says_so(tmp_path):
    write(tmp_path, a_de=lines("eins"), a_en=lines("one"))
    found = own.read(tmp_path, CONFIG, reverse=True)
    assert all(source.startswith("one") for source in found["test"].columns["source"])
    assert found["train"].notes[0] == (
        "sources are the lines of a.en, targets those of a.de; --reverse false swaps them"
    )


def test_a_missing_split_is_cut_off_from_train(tmp_path):
    write(tmp_path, train_de=lines("eins"), train_en=lines("one"), test_de="zwei", test_en="two")
    found = pairs(own.read(tmp_path, CONFIG))
    assert [len(found[split]) for split in SPLITS] == [27, 3, 1]
    assert found["test"] == [("zwei", "two")]


def test_lines_end_at_line_breaks_alone(tmp_path):
    """Other characters that Python takes for line ends would shift all pairs behind them."""
    write(tmp_path, a_de="a\u2028b\x0bc\x85d\r\ne\nf\n\n", a_en="1\r2\r3")
    found = pairs(own.read(tmp_path, CONFIG))
    assert sorted(pair for split in found.values() for pair in split) == [
        ("a\u2028b\x0bc\x85d", "1"),
        ("e", "2"),
        ("f", "3"),
    ]


def test_empty_lines_are_an_error_or_left_out_and_counted(tmp_path):
    write(tmp_path, train_de="a\n\nb\nc\n", train_en="1\n2\n \n3\n", test_de="d", test_en="4")
    message = "train.de, line 2: the line is empty in train.de, and 1 more bad row; mend it, or"
    with pytest.raises(UserError, match=message):
        own.read(tmp_path, CONFIG)
    found = own.read(tmp_path, SKIP)
    kept = pairs(found)
    assert sorted(kept["train"] + kept["validation"]) == [("a", "1"), ("c", "3")]
    assert found["train"].left_out == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"train_de": "a\nb\n", "train_en": "1\n2\n3\n"},
            "train.de has 2 lines, but .*en has 3; e",
        ),
        ({"train_de": "a\n", "train_en": ""}, "train.de has 1 line, but .*train.en has 0; each"),
        ({"train_de": "\n", "train_en": ""}, "train.de and .*train.en have no lines"),
        ({"train_de": "a"}, "needs two files for its train split, .* has 1 file: train.de"),
        ({"train_de": "a", "train_en": "b", "train_fr": "c"}, "has 3 files: train.de, train.en, t"),
        (
            {"train_de": "a", "train_en": "b", "test_de": "c", "test_fr": "d"},
            "the same two endings in each split, and have .de and .en, .de and .fr",
        ),
        (
            {"a_txt": "a", "b_txt": "b", "c_txt": "c"},
            "translation needs tables .* holds 3 .txt file",
        ),
        ({"a_png": "a"}, "translation needs tables .* or two plain files .* holds 1 image: a.png"),
        (
            {"train_csv": "text,label\na,b\n"},
            "train.csv has no column 'source'; it has: text, label",
        ),
        (
            {"train_csv": "source,target\na,b\nc,\n"},
            "train.csv, line 3: 'target' is empty; mend it",
        ),
        (
            {"own_jsonl": '{"source": ["a"], "target": "b"}'},
            r"line 1: 'source' is not a text, but \[",
        ),
    ],
)
def test_what_is_no_pairs_is_an_error(tmp_path, files, message):
    with pytest.raises(UserError, match=message):
        own.read(write(tmp_path, **files), CONFIG)


def test_one_file_is_not_enough(tmp_path):
    write(tmp_path, own_txt="a")
    with pytest.raises(UserError, match=r"translation needs tables .* holds one .txt file"):
        own.read(tmp_path / "own.txt", CONFIG)


@pytest.mark.parametrize("name", ["own_csv", "own_jsonl"])
def test_one_table_is_split(tmp_path, name):
    rows = [(f"eins {n}", f"one {n}") for n in range(20)]
    if name == "own_csv":
        text = "target;source\n" + "".join(f"{target};{source}\n" for source, target in rows)
    else:
        text = "".join(json.dumps({"source": s, "target": t}) + "\n" for s, t in rows)
    write(tmp_path, **{name: text})
    found = pairs(own.read(tmp_path / name.replace("_", "."), CONFIG))
    assert sorted(pair for split in found.values() for pair in split) == sorted(rows)
    assert [len(found[split]) for split in SPLITS] == [16, 2, 2]
