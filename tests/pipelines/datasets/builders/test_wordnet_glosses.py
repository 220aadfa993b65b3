"""Glosses: balanced classes, siblings together, no near copies."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from pipelines.datasets import extracts
from pipelines.datasets.builders import wordnet_glosses


@pytest.fixture(scope="module")
def splits(examples, bundled) -> dict[str, list[tuple[str, str]]]:
    names = bundled("wordnet_glosses").info.features["label"].names
    return {
        split: [(member["text"].decode(), names[member["label"]]) for member in members]
        for split, members in examples("wordnet_glosses").items()
    }


@pytest.fixture(scope="module")
def source() -> dict[str, tuple[str, str]]:
    """Class and hypernym of every gloss, from the extract."""
    lines = extracts.read("wordnet_glosses.txt").decode().splitlines()
    return {text: (name, hypernym) for name, hypernym, text in (ln.split("\t") for ln in lines)}


def test_every_gloss_of_the_extract_is_there_with_its_class(splits, source):
    found = {text: name for members in splits.values() for text, name in members}
    assert found == {text: name for text, (name, _) in source.items()}
    assert len(found) == 8000


def test_classes_are_balanced_in_every_split(splits):
    for members in splits.values():
        counts = Counter(name for _, name in members)
        assert set(counts) == set(wordnet_glosses.CLASS_NAMES)
        assert max(counts.values()) - min(counts.values()) <= 3


def test_hyponyms_of_one_hypernym_are_in_one_split(splits, source):
    families = [{source[text] for text, _ in members} for members in splits.values()]
    assert len(set.union(*families)) == sum(map(len, families))
    assert sum(map(len, families)) < 5500  # Many have brothers and sisters.


def test_no_two_glosses_are_equal_but_for_digits_and_punctuation(splits):
    letters = [
        " ".join(re.findall("[a-z]+", text.lower()))
        for members in splits.values()
        for text, _ in members
    ]
    assert len(letters) == len(set(letters))


def test_glosses_are_definitions_without_examples(splits):
    for members in splits.values():
        for text, _ in members:
            assert len(text.split()) >= 5
            assert '"' not in text
            assert text == text.strip()
