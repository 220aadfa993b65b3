"""Data sets by name: their sources, splits, names and digests."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds

from pipelines.config import Config
from pipelines.datasets import loading, lookup
from pipelines.errors import UserError


class Numbers(tfds.core.GeneratorBasedBuilder):
    """Numbers from 0 on, in as many splits as the configuration's name lists."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=name)
        for name in ("train", "train_test", "train_validation", "train_validation_test", "test")
    ]

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"number": tfds.features.Scalar(np.int64)})
        )

    def _split_generators(self, dl_manager):
        names = self.builder_config.name.split("_")
        return {name: self._generate_examples(100 * i) for i, name in enumerate(names)}

    def _generate_examples(self, start):
        for number in range(start, start + 100):
            yield number, {"number": number}


def numbers(config: str, folder: Path) -> tfds.core.DatasetBuilder:
    builder = tfds.builder(f"numbers/{config}", data_dir=str(folder))
    tfds.disable_progress_bar()
    builder.download_and_prepare()
    return builder


@pytest.mark.parametrize(
    ("split", "most", "first", "last", "size"),
    [
        ("train", 100, 0, 99, 100),
        ("train", 101, 0, 99, 100),
        ("train", 99, 0, 99, 99),
        ("train", 30, 0, 99, 30),
        ("train[80%:90%]", 7, 80, 89, 7),
        ("train[90%:]", 3, 90, 99, 3),
        ("train", 1, 0, 0, 1),
    ],
)
def test_a_part_of_a_split_is_spread_over_it(split, most, first, last, size, tmp_path):
    builder = numbers("train", tmp_path)
    expression = loading.spread(builder, split, most)
    assert builder.info.splits[expression].num_examples == size
    rows = loading.Source(builder, {"train": expression}).read("train").as_numpy_iterator()
    # TFDS shuffles what it prepares.
    whole = [row["number"] for row in builder.as_dataset(split="train").as_numpy_iterator()]
    places = [whole.index(row["number"]) for row in rows]
    assert len(set(places)) == size
    assert (min(places), max(places)) == (first, last)


def test_the_digest_of_a_part_is_its_own(tmp_path):
    numbers("train_test", tmp_path)

    def opened(most: int) -> loading.Source:
        name = "numbers/train_test"
        return loading.open_dataset(Config(dataset=name, data_dir=str(tmp_path), max_examples=most))

    assert opened(20).sizes() == {"train": 20, "validation": 10, "test": 20}
    digests = {most: opened(most).identity()["digest"] for most in (0, 20, 30, 100)}
    assert digests[0] == digests[100]
    assert len({digests[most] for most in (0, 20, 30)}) == 3


OWN = [
    ("train", ("train[:80%]", "train[80%:90%]", "train[90%:]"), (80, 10, 10), 100),
    ("train_test", ("train[:90%]", "train[90%:]", "test"), (90, 10, 100), 200),
    ("train_validation", ("train[:90%]", "train[90%:]", "validation"), (90, 10, 100), 200),
    ("train_validation_test", ("train", "validation", "test"), (100, 100, 100), 300),
]


@pytest.mark.parametrize(("own", "expressions", "sizes", "total"), OWN)
def test_splits_are_disjoint_and_leave_nothing_out(own, expressions, sizes, total, tmp_path):
    builder = numbers(own, tmp_path)
    splits = loading.splits(builder)
    assert (splits.train, splits.validation, splits.test) == expressions
    found = [
        {int(example["number"]) for example in tfds.as_numpy(builder.as_dataset(split=split))}
        for split in expressions
    ]
    assert tuple(map(len, found)) == sizes
    assert set.union(*found) == set(range(total))


def test_a_data_set_without_train_is_an_error_that_lists_its_splits(tmp_path):
    with pytest.raises(UserError, match="numbers has no train split; it has: test"):
        loading.splits(numbers("test", tmp_path))


@pytest.mark.parametrize(
    ("name", "test"), [("imagenet2012", "validation"), ("other_images", "test")]
)
def test_a_test_split_without_labels_is_not_used(name, test):
    own = dict.fromkeys(("train", "validation", "test"))
    builder: Any = SimpleNamespace(name=name, info=SimpleNamespace(splits=own))
    assert loading.splits(builder).test == test


def test_a_second_preparation_has_the_same_digest(digits_dir, tmp_path):
    first = loading.prepared("digits", data_dir=str(digits_dir))
    second = loading.prepared("digits", data_dir=str(tmp_path))
    assert first.data_path != second.data_path
    assert loading.digest(first) == loading.digest(second)
    assert len(loading.digest(first)) == 12


def test_a_changed_byte_changes_the_digest(tmp_path):
    builder = numbers("train", tmp_path)
    before = loading.digest(builder)
    (file,) = Path(builder.data_path).glob("*.tfrecord*")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert loading.digest(builder) != before


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("my texts", "my_texts"),
        ("v1.5", "v1.5"),
        (".hidden", "_hidden"),
        ("a/../ümlaut", "ümlaut"),
        ("tides.csv", "tides"),
        ("a,b.csv", "a_b"),
    ],
)
def test_own_folders_and_files_have_names_that_mlflow_allows(path, expected, tmp_path):
    (tmp_path / "a").mkdir()
    own = tmp_path / path
    if own.suffix == ".csv":
        own.touch()
    else:
        own.mkdir(parents=True)
    assert loading.own_name(own) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "unknown data set 'nonsense'; without a network there are: .*digits"),
        ("./nowhere", "unknown data set './nowhere'; without a network there are: .*digits"),
        ("two words", "unknown data set 'two words'; without a network there are: .*digits"),
        ("", "unknown data set ''; without a network there are: .*digits"),
        ("digits:9.9.9", "digits:9.9.9.* only: 1.0.0"),
        ("digits/large", "digits/large.* large not found"),
    ],
)
def test_an_unknown_data_set_is_an_error_in_one_sentence(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^{message}") as caught:
        loading.prepared(name, data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_public_data_set_without_a_network_is_an_error_within_seconds(tmp_path, monkeypatch):
    def unreachable(*arguments, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    started = time.monotonic()
    with pytest.raises(
        UserError, match=r"mnist is not prepared in .* could not be downl"
    ) as caught:
        loading.prepared("mnist", data_dir=str(tmp_path))
    assert time.monotonic() - started < 30
    assert "\n" not in str(caught.value)
    assert "--manual_dir" in str(caught.value)
    assert "digits" in str(caught.value)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (requests.exceptions.ConnectionError("refused"), "mnist is not prepared in .*network"),
        (requests.exceptions.ReadTimeout("slow"), "mnist is not prepared in .*network"),
        (
            tfds.download.DownloadError("wrong checksum of train.gz\nlong\nexplanation"),
            "the download of mnist is damaged: wrong checksum of train.gz$",
        ),
        (
            AssertionError("put train.gz into DIR\nlong\nexplanation"),
            "mnist: put train.gz into DIR$",
        ),
    ],
)
def test_a_failed_download_is_an_error_in_one_sentence(failure, message, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError, match=rf"^{message}") as caught:
        loading.prepared("mnist", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_prepared_data_set_is_not_prepared_again(digits_dir, monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("prepared twice")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    assert loading.prepared("digits", data_dir=str(digits_dir)).is_prepared()


def test_preparing_a_bundled_data_set_prints_nothing(tmp_path, capfd):
    loading.prepared("digits", data_dir=str(tmp_path))
    assert capfd.readouterr().out == ""


def test_a_path_is_told_from_the_name_of_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "pets"):
        Path(name).mkdir()
    Path("prepared/1.0.0").mkdir(parents=True)
    Path("prepared/1.0.0/dataset_info.json").write_text("{}")
    assert lookup.own_path("pets") == Path("pets")
    assert lookup.own_path("./digits") == Path("digits")
    assert [lookup.own_path(name) for name in ("digits", "prepared", "elsewhere")] == [None] * 3
    for gone in ("./gone", "gone.csv", str(tmp_path / "gone")):
        with pytest.raises(UserError, match="there is no file or folder"):
            lookup.own_path(gone)
