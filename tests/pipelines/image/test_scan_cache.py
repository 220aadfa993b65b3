"""What is known of image files: read once, and again when a file has changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.image import files, scan_cache
from pipelines.image.files import ImageFile


def scanned(*given) -> list[ImageFile | str]:
    return list(scan_cache.scanned(*given))


def scan(paths: list[Path]) -> list[ImageFile | str]:
    return list(files.scan(paths))


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    (tmp_path / "images").mkdir()
    names = [os.fsdecode(name) for name in (b"a.png", b"b.jpg", b"\xff.png")]
    for number, name in enumerate(names):
        image = Image.fromarray(np.full((3, 4 + number), 50 * number, np.uint8))
        image.save(tmp_path / "images" / name)
    (tmp_path / "images/bad.png").write_bytes(b"no image")
    return [*(tmp_path / "images" / name for name in names), tmp_path / "images/bad.png"]


class Reads:
    """Reads files, and remembers which."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def __call__(self, paths):
        self.paths += paths
        return scan(paths)


def test_files_are_read_once_and_again_when_they_change(paths, tmp_path):
    plain, cache = scan(paths), str(tmp_path / "cache")
    assert scanned(paths, cache) == plain
    (kept,) = (tmp_path / "cache").iterdir()
    again = Reads()
    assert scanned(paths, cache, again) == plain
    assert again.paths == [paths[3]]  # What is bad may have been mended.
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(paths[0])
    changed = Reads()
    found = scanned(paths, cache, changed)
    assert changed.paths == [paths[0], paths[3]]
    assert found == scan(paths)
    assert list((tmp_path / "cache").iterdir()) == [kept]


def test_a_time_that_is_set_back_with_the_same_size_goes_unnoticed(paths, tmp_path):
    paths[0].write_bytes(paths[0].read_bytes().ljust(200, b"\0"))
    before, first = paths[0].stat(), scanned(paths[:1], str(tmp_path))
    paths[0].write_bytes(paths[0].read_bytes()[:-1] + b"\1")
    os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert scanned(paths[:1], str(tmp_path)) == first != scan(paths[:1])


def test_a_damaged_file_of_what_is_known_is_replaced(paths, tmp_path):
    cache = tmp_path / "cache"
    scanned(paths, str(cache))
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert scanned(paths, str(cache)) == scan(paths)
    assert len(scanned(paths, str(cache), lambda new: [""] * len(new))) == 4


def test_without_a_folder_all_files_are_read(paths, tmp_path):
    reads = Reads()
    assert scanned(paths, "", reads) == scan(paths)
    assert reads.paths == paths
    assert scanned([], str(tmp_path)) == []


def test_a_folder_that_cannot_be_written_keeps_nothing(paths, tmp_path):
    (tmp_path / "file").write_text("")
    assert scanned(paths, str(tmp_path / "file")) == scan(paths)
