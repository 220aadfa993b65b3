"""Training examples on disk: the same ones in the same order, never old ones or half of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.cli import parse
from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.errors import UserError
from pipelines.image.config import Augmentation, ImageConfig
from pipelines.run import load
from pipelines.training import batching, disk_cache

SIZE = 50


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch):
    monkeypatch.setattr(batching, "_SMALL_BYTES", 0)


def data_of(factor: int = 1, digest: str = "0123456789ab", **fields) -> Dataset:
    """A data set whose examples differ in length, and count how often they are decoded."""

    def decoded(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.range(number % 4) * factor + tf.cast(number, tf.int64)
        return tf.ensure_shape(example, [None]), number

    examples = tf.data.Dataset.range(SIZE).map(decoded)
    splits = dict.fromkeys(("train", "validation", "test"), examples)
    return Dataset(
        **{"name": "own", "version": "1.0.0", "digest": digest, "example_bytes": 8, **fields},
        sizes=dict.fromkeys(splits, SIZE),
        **splits,
    )


def rows(data: Dataset) -> list[tuple[list[int], int]]:
    return [(values.tolist(), int(number)) for values, number in data.train.as_numpy_iterator()]


def test_examples_come_back_in_their_order_and_are_written_once(tmp_path, monkeypatch):
    config, data = Config(cache=str(tmp_path / "cache")), data_of()
    first = disk_cache.kept(data, config)
    assert rows(first) == rows(data)
    assert first.train.element_spec == data.train.element_spec
    assert first.train.cardinality() == SIZE
    assert first.validation is data.validation
    (folder,) = (tmp_path / "cache").iterdir()
    assert first.notes == (f"training examples are read, decoded, from {folder}",)
    monkeypatch.setattr(disk_cache, "_write", lambda *_: pytest.fail("written again"))
    assert rows(disk_cache.kept(data, config)) == rows(data)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (data_of(digest="ba9876543210"), {}),
        (data_of(), {"image_size": 8}),
        (data_of(), {"max_examples": 7}),
        (data_of(version="2.0.0"), {}),
    ],
)
def test_other_data_or_another_way_to_read_them_has_another_folder(tmp_path, data, options):
    config = ImageConfig(cache=str(tmp_path))
    disk_cache.kept(data_of(), config)
    disk_cache.kept(data, replace(config, **options))
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_done_after_reading_shares_a_folder(tmp_path):
    config = ImageConfig(cache=str(tmp_path))
    disk_cache.kept(data_of(), config)
    other = replace(config, augmentation=Augmentation(flip=True), run_name="another")
    disk_cache.kept(data_of(), other)
    assert len(list(tmp_path.iterdir())) == 1


def test_examples_that_code_reads_in_another_way_are_written_again(tmp_path):
    config = Config(cache=str(tmp_path))
    disk_cache.kept(data_of(factor=1), config)
    assert rows(disk_cache.kept(data_of(factor=2), config)) == rows(data_of(factor=2))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut off", "empty", "unfinished"])
def test_half_a_cache_is_not_read(tmp_path, damage):
    config, data = Config(cache=str(tmp_path)), data_of()
    disk_cache.kept(data, config)
    (folder,) = tmp_path.iterdir()
    if damage == "unfinished":
        folder.rename(tmp_path / f".unfinished-{folder.name}")
    for file in folder.rglob("*.snapshot" if damage == "cut off" else "*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20] if damage == "cut off" else b"")
    assert rows(disk_cache.kept(data, config)) == rows(data)


@pytest.mark.parametrize(
    "fields",
    [{"example_bytes": None}, {"example_bytes": 0}],
    ids=["drawn anew in every epoch", "in memory"],
)
def test_what_is_not_decoded_again_is_not_written(tmp_path, fields):
    data = data_of(**fields)
    assert disk_cache.kept(data, Config(cache=str(tmp_path))) is data
    assert disk_cache.kept(data_of(), Config()).notes == ()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_user_s_mistake(tmp_path):
    Path(tmp_path, "file").write_text("no folder")
    with pytest.raises(UserError, match=r"--cache .*file cannot be used"):
        disk_cache.kept(data_of(), Config(cache=str(tmp_path / "file")))
    np.testing.assert_equal(list(tmp_path.iterdir()), [tmp_path / "file"])


def test_a_pipeline_reads_its_training_examples_from_the_folder(tmp_path):
    options = ["image_classification", "--image_size=4", "--cache", str(tmp_path)]
    (_, plain), (_, cached) = (load(*parse(given)) for given in (options[:2], options))
    assert cached.notes[-1].startswith(f"training examples are read, decoded, from {tmp_path}")
    for one, other in zip(plain.train.take(3), cached.train.take(3), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
