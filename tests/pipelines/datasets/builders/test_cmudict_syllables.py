"""Syllables: the vowels of a word, words with their splits as in cmudict."""

from __future__ import annotations

import pytest

from pipelines.datasets.builders import cmudict
from pipelines.datasets.builders.cmudict_syllables import CLASS_NAMES, syllables


@pytest.mark.parametrize(
    ("phones", "expected"), [("G R EY D IY", 2), ("SH", 0), ("AH N Y UW ZH AH W AH L IY", 5)]
)
def test_a_syllable_has_one_vowel(phones, expected):
    assert syllables(phones) == expected


def test_each_word_with_a_vowel_is_in_the_split_of_cmudict(examples):
    for split, entries in cmudict.by_prefix().items():
        counts = {word.letters: syllables(word.phones) for word in entries}
        expected = {word: min(count, 5) - 1 for word, count in counts.items() if count}
        rows = examples("cmudict_syllables")[split]
        assert {row["text"].decode(): row["label"] for row in rows} == expected
        assert {row["label"] for row in rows} == set(range(len(CLASS_NAMES)))
