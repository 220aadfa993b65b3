"""Data sets in system packages: files that are the authors' to the byte."""

from __future__ import annotations

import gzip
import hashlib

import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets import debian, loading
from pipelines.datasets.debian import SYSTEM, SystemFiles, with_header


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_a_header_gets_name_and_time_and_the_content_is_unchanged(content, time):
    bare = gzip.compress(content, mtime=0)
    whole = with_header(bare, "images.gz", time)
    assert gzip.decompress(whole) == content
    assert whole[4:8] == time.to_bytes(4, "little")
    assert whole[10:17] == b"images\0"
    assert len(whole) == len(bare) + len(b"images\0")
    assert with_header(whole, "other.gz", 0) == whole


def test_files_exist_only_if_all_of_them_do(tmp_path):
    files = SystemFiles(tmp_path, {"a.gz": 1, "b.gz": 2})
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a", mtime=0))
    assert not files.exist()
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"b", mtime=0))
    assert files.exist()
    with files.restored() as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["a.gz", "b.gz"]
        assert (folder / "b.gz").read_bytes()[4:8] == (2).to_bytes(4, "little")
    assert not folder.exists()


@pytest.fixture
def manual_dirs(monkeypatch) -> list[str]:
    """The manual directories that TFDS gets."""
    folders: list[str] = []

    def prepare(builder, manual_dir):
        folders.append(manual_dir)

    monkeypatch.setattr(loading, "_prepare", prepare)
    return folders


def test_a_system_package_replaces_the_download(tmp_path, monkeypatch, manual_dirs):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"x", mtime=0))
    monkeypatch.setitem(SYSTEM, "fashion_mnist", SystemFiles(tmp_path, {"x.gz": 1}))
    loading.prepared("fashion_mnist", data_dir=str(tmp_path / "tfds"))
    loading.prepared("fashion_mnist", data_dir=str(tmp_path / "tfds"), manual_dir="mine")
    loading.prepared("mnist", data_dir=str(tmp_path / "tfds"))
    assert manual_dirs[0] not in ("", "mine")
    assert manual_dirs[1:] == ["mine", ""]


@pytest.mark.skipif(
    not SYSTEM["fashion_mnist"].exist(), reason="the package dataset-fashion-mnist is not installed"
)
def test_fashion_mnist_matches_the_checksums_of_tfds():
    known = {
        str(info.filename): info.checksum
        for info in tfds.builder("fashion_mnist").url_infos.values()
    }
    with debian.SYSTEM["fashion_mnist"].restored() as folder:
        found = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
        }
    assert found == known
