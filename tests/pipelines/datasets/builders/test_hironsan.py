"""The optional Japanese corpus: its examples if it is installed, and the error if it is not."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.datasets.builders import hironsan
from pipelines.errors import UserError


def sentence(number: int) -> list[list[str]]:
    return [
        ["東京", "OTHER", "名詞", "B-LOC"],
        ["都", "OTHER", "名詞", "I-LOC"],
        ["で", "HIRAGANA", "助詞", "O"],
        [str(number), "ZDIGIT", "名詞", "I-DAT"],
    ]


@pytest.fixture
def installed(monkeypatch):
    """The package's interface over 60 + 5 sentences."""
    parts = {
        "train": [sentence(number) for number in range(60)],
        "test": [sentence(number) for number in range(60, 65)],
    }
    corpus = ModuleType("hironsan.corpus")
    corpus.hiron2016 = SimpleNamespace(iob_sents=parts.get)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hironsan", ModuleType("hironsan"))
    monkeypatch.setitem(sys.modules, "hironsan.corpus", corpus)


def test_validation_is_the_end_of_train_and_test_is_that_of_the_corpus(installed, tmp_path):
    builder = loading.prepared("hironsan", data_dir=str(tmp_path))
    numbers = {
        split: sorted(
            int(member["tokens"][-1]) for member in tfds.as_numpy(builder.as_dataset(split=split))
        )
        for split in ("train", "validation", "test")
    }
    assert numbers == {
        "train": list(range(10)),
        "validation": list(range(10, 60)),
        "test": list(range(60, 65)),
    }


def test_tokens_decode_and_tags_are_iob2(installed, tmp_path):
    builder = loading.prepared("hironsan", data_dir=str(tmp_path))
    names = builder.info.features["tags"].feature.names
    assert len(names) == len(set(names)) == 17
    (member,) = tfds.as_numpy(builder.as_dataset(split="test").take(1))
    assert [token.decode() for token in member["tokens"][:3]] == ["東京", "都", "で"]
    assert [names[tag] for tag in member["tags"]] == ["B-LOC", "I-LOC", "O", "B-DAT"]


def test_without_the_package_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hironsan.corpus", None)
    with pytest.raises(UserError, match="needs the package hironsancorpus: pip install") as caught:
        loading.prepared("hironsan", data_dir=str(tmp_path))
    assert str(caught.value).endswith("hironsancorpus==0.1.2")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["I-LOC", "I-LOC", "O"], ["B-LOC", "I-LOC", "O"]),
        (["B-LOC", "I-DAT", "I-DAT"], ["B-LOC", "B-DAT", "I-DAT"]),
        (["B-LOC", "O", "I-LOC"], ["B-LOC", "O", "B-LOC"]),
        (["B-LOC", "B-LOC", "I-LOC"], ["B-LOC", "B-LOC", "I-LOC"]),
        ([], []),
    ],
)
def test_an_i_tag_that_continues_no_entity_becomes_b(tags, expected):
    assert hironsan.fix_iob2(tags) == expected
