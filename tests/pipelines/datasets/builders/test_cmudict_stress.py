"""Stress of vowels: tags from the digits of the dictionary, words and splits as in cmudict."""

from __future__ import annotations

import pytest

from pipelines.datasets.builders import cmudict
from pipelines.datasets.builders.cmudict_stress import TAGS, tags
from pipelines.datasets.builders.cmudict_syllables import VOWELS


@pytest.mark.parametrize(
    ("phones", "expected"),
    [
        ("G R EY1 D IY0", ["O", "O", "B-primary", "O", "B-unstressed"]),
        ("K AH0 N", ["O", "B-unstressed", "O"]),
        ("AE2 K", ["B-secondary", "O"]),
    ],
)
def test_digits_become_tags_of_vowels(phones, expected):
    assert tags(phones) == expected


def test_words_with_several_vowels_are_in_the_splits_of_cmudict(examples):
    for split, entries in cmudict.by_prefix().items():
        phones = [tuple(entry.phones.split()) for entry in entries]
        expected = sorted(word for word in phones if sum(phone in VOWELS for phone in word) > 1)
        rows = examples("cmudict_stress")[split]
        assert sorted(tuple(phone.decode() for phone in row["tokens"]) for row in rows) == expected


def test_vowels_have_a_stress_and_consonants_none(examples):
    seen = set()
    for rows in examples("cmudict_stress").values():
        for row in rows:
            for phone, tag in zip(row["tokens"], row["tags"], strict=True):
                assert (phone.decode() in VOWELS) == (TAGS[tag] != "O")
                seen.add(TAGS[tag])
    assert seen == set(TAGS)
