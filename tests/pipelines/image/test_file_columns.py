"""Image files as columns are what they are as objects."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets import stored
from pipelines.image import file_columns
from pipelines.image.files import ImageFile

NAMES = ["a.png", "fotos/größe.jpg", os.fsdecode(b"\xff.png"), ".."]
FILES = [
    ImageFile(name, f"{number:064x}", 3, 70_000, number % 2 == 0, kind, -1, 1 + number)
    for number, (name, kind) in enumerate(zip(NAMES, ["PNG", "JPEG", "WEBP", "PNG"], strict=True))
]
PATHS = [Path(name) for name in NAMES]


@pytest.fixture(params=[1, 1 << 22])
def small(request, monkeypatch):
    monkeypatch.setattr(stored, "LIMIT", request.param)
    monkeypatch.setattr(file_columns, "_CHUNK", 2)


def test_files_come_back_one_by_one_and_in_slices(small):
    found = file_columns.files_of(FILES)
    assert list(found) == found[:] == FILES
    assert (found[1], found[-1], found[1:3]) == (FILES[1], FILES[3], FILES[1:3])
    assert list(found.take(np.array([2, 0]))) == [FILES[2], FILES[0]]
    assert list(found.paths) == list(file_columns.joined([found.paths])) == PATHS
    assert list(file_columns.joined([found.paths, found.paths.take(np.array([1]))])) == [
        *PATHS,
        PATHS[1],
    ]
    assert found.sizes().tolist() == [[3, 70_000]] * 4
    assert len(set(found.keys.tolist())) == 1  # These digests begin alike.
    assert len(file_columns.paths_of([])) == 0


def test_rows_of_files_have_the_bytes_of_their_paths(small):
    found = file_columns.files_of(FILES).take(np.array([3, 2, 1]))
    rows = list(found.rows(np.array([7, 8, 9])).as_numpy_iterator())
    assert rows == [
        (b"..", True, 7),
        (b"\xff.png", False, 8),
        ("fotos/größe.jpg".encode(), True, 9),
    ]


def test_what_is_wrong_stands_in_the_place_of_a_file(small):
    found = file_columns.collected(file_columns.paths_of(PATHS), [FILES[0], "bad", "", FILES[3]])
    assert list(found) == found[:] == [FILES[0], "bad", "", FILES[3]]
    assert (found[1], found.problems) == ("bad", {1: "bad", 2: ""})
    assert found.good().tolist() == [0, 3]
