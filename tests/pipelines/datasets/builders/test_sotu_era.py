"""Eras: balanced classes, sentences of one speech in one split, none twice."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from pipelines.datasets.builders import sotu

PER_ERA = {"train": 3450, "validation": 680, "test": 700}


@pytest.fixture(scope="module")
def splits(examples) -> dict[str, list[tuple[str, int]]]:
    return {
        split: [(member["text"].decode(), int(member["label"])) for member in members]
        for split, members in examples("sotu_era").items()
    }


def test_classes_are_the_eras_and_balanced(splits, bundled):
    assert bundled("sotu_era").info.features["label"].names == list(sotu.ERAS)
    for split, members in splits.items():
        assert Counter(label for _, label in members) == dict.fromkeys(range(3), PER_ERA[split])


def test_a_sentence_stands_in_a_speech_of_its_split_and_of_its_era(splits):
    for split, members in splits.items():
        spoken = {
            (sentence, list(sotu.ERAS).index(speech.era))
            for speech in sotu.speeches(split)
            for sentence in speech.sentences()
        }
        assert set(members) <= spoken


def test_no_sentence_comes_twice_whatever_its_digits(splits):
    letters = [
        " ".join(re.findall("[a-z]+", text.lower()))
        for members in splits.values()
        for text, _ in members
    ]
    assert len(letters) == len(set(letters))


def test_sentences_have_8_to_60_words(splits):
    lengths = [len(text.split()) for members in splits.values() for text, _ in members]
    assert (min(lengths), max(lengths)) == (8, 60)
