"""Which files are splits: by their names, or by a word in them where that is clear."""

from __future__ import annotations

import pytest

from pipelines.datasets import files
from pipelines.errors import UserError


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train.json", "dev.json"], {"train": "train.json", "validation": "dev.json"}),
        (
            ["train-v1.1.json", "dev-v1.1.json"],
            {"train": "train-v1.1.json", "validation": "dev-v1.1.json"},
        ),
        (["my_Train.json", "my_test.json"], {"train": "my_Train.json", "test": "my_test.json"}),
        # A name that is exactly a split's counts alone.
        (["train.json", "my-test.json"], {"train": "train.json"}),
        (["my-test.json"], {}),
        (["train-0.json", "train-1.json"], {}),
        (["train-test.json", "other.json"], {}),
        (["training_set.json", "contest.json"], {"train": "training_set.json"}),
        (["train-v1.1.csv", "trained.json"], {}),
        (
            ["wnut17train.json", "emerging.dev.json"],
            {"train": "wnut17train.json", "validation": "emerging.dev.json"},
        ),
    ],
)
def test_files_are_splits_by_name_or_by_a_word_in_it(names, found, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    assert files.of_splits(tmp_path, {".json"}) == {s: tmp_path / n for s, n in found.items()}


def test_two_files_for_a_split_are_refused(tmp_path):
    for name in ("train.json", "training.json"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"train split: train\.json and training\.json"):
        files.of_splits(tmp_path, {".json"})


def test_files_are_found_in_folders_of_splits_or_anywhere(tmp_path):
    for name in ("train/b.json", "train/a.json", "val/c.json", "train/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = files.find(tmp_path, {".json"})
    assert {split: [file.name for file in own] for split, own in found.items()} == {
        "train": ["a.json", "b.json"],
        "validation": ["c.json"],
    }
    assert files.find(tmp_path / "train", {".json"}) == {"": found["train"]}
    assert files.find(tmp_path / "train/d.txt", {".json"}) == {"": []}
    assert files.find(tmp_path / "train/a.json", {".json"}) == {"": [tmp_path / "train/a.json"]}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train-0", "train-1"], {"": ["train-0", "train-1"]}),
        (["a-test", "b-test"], {"": ["a-test", "b-test"]}),
        (["train-0", "train-1", "dev"], {"validation": ["dev"]}),
        (
            ["a-train", "b-train", "a-dev"],
            {"train": ["a-train", "b-train"], "validation": ["a-dev"]},
        ),
        (["train-test", "other"], {"": ["other", "train-test"]}),
    ],
)
def test_several_files_of_a_split_are_its_parts(names, found, tmp_path):
    for name in names:
        (tmp_path / f"{name}.json").touch()
    parts = files.find(tmp_path, {".json"})
    assert {split: [file.stem for file in own] for split, own in parts.items()} == found


@pytest.mark.parametrize("names", [("corpus", "my-dev"), ("a-train", "b-train", "c", "d-test")])
def test_files_with_and_without_the_name_of_a_split_are_not_mixed(names, tmp_path):
    for name in names:
        (tmp_path / f"{name}.json").touch()
    with pytest.raises(UserError, match=r"(dev|test)\.json, which by its name .* which is of none"):
        files.find(tmp_path, {".json"})


def test_files_that_could_have_been_meant_and_are_not_read_are_noted(tmp_path):
    for name in ("train.json", "a.test.annotated", "other.json", "README.md"):
        (tmp_path / name).touch()
    train = tmp_path / "train.json"
    (note,) = files.unread(tmp_path, [train], {".json"})
    assert note == f"{tmp_path}/a.test.annotated is not read, nor 1 more file"
    assert not files.unread(train, [train], {".json"})
