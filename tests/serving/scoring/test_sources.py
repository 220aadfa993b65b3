"""The files that are meant."""

from __future__ import annotations

import pytest

from serving.errors import UserError
from serving.scoring import sources
from serving.scoring.sources import Source


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        *("a.csv", "b.csv", "x/c.csv", "x/_d.csv", "x/.e.csv", "t-1.tfrecord-00000-of-00002"),
        *("images/1.png", "images/2/3.JPG", "images/notes.txt", "big.csv.gz", "text.txt"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def paths(*given):
    return [source.path for source in sources.find(given)]


def test_files_patterns_and_folders_are_found(here):
    assert paths("a.csv") == ["a.csv"]
    assert paths("[ab].csv", "x") == ["a.csv", "b.csv", "x/c.csv"]
    assert paths("**/*.csv") == ["a.csv", "b.csv", "x/_d.csv", "x/c.csv"]
    assert sources.find(["t-1.tfrecord-00000-of-00002"])[0].format == "records"


def test_images_of_a_folder_are_one_source(here):
    folder = Source("images", "images", ("images/1.png", "images/2/3.JPG"))
    assert sources.find(["images"]) == [folder]
    assert sources.find(["images/1.png"]) == [Source("images", "images", ("images/1.png",))]
    assert list(folder.ranges(1)) == [(0, 1, 0), (1, 2, 0)]
    assert folder.shard(1, 1, 2, 0).images == ("images/2/3.JPG",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["no.csv"], "no file is called no.csv"),
        (["text.txt"], "text.txt is of no known format: known are Parquet, CSV"),
        (["big.csv.gz"], "big.csv.gz is compressed, .* decompress it first"),
        (["a.csv", "images"], "the input has several formats: csv, images"),
        (["a.csv", "*.csv"], "a.csv is given twice"),
        (["empty"], "empty has no files to score"),
    ],
)
def test_what_cannot_be_scored_is_said(here, given, said):
    (here / "empty").mkdir()
    with pytest.raises(UserError, match=said):
        sources.find(given)


def test_a_fingerprint_changes_with_the_content(here, monkeypatch):
    path = here / "a.csv"
    before = Source(str(path), "csv").fingerprint()
    path.write_text("A.csv")
    assert Source(str(path), "csv").fingerprint() != before
    # Of a large file pieces count, the first and the last among them, and the size.
    monkeypatch.setattr(sources, "_PIECE", 1)
    path.write_bytes(bytes(200))
    before = Source(str(path), "csv").fingerprint()
    for changed in (b"\1" + bytes(199), bytes(199) + b"\1", bytes(201)):
        path.write_bytes(changed)
        assert Source(str(path), "csv").fingerprint() != before
