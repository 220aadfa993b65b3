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
