"""Words and phones: beginnings and homophones in one split."""

from __future__ import annotations

import pytest

from pipelines.datasets.builders import cmudict


@pytest.fixture(scope="module")
def splits() -> dict[str, list[cmudict.Entry]]:
    return cmudict.by_prefix()


def test_words_that_begin_alike_are_in_one_split(splits):
    beginnings = [{word[:4] for word, _ in words} for words in splits.values()]
    assert len(set.union(*beginnings)) == sum(map(len, beginnings))


def test_no_pronunciation_is_in_two_splits(splits):
    spoken = [{phones for _, phones in words} for words in splits.values()]
    assert len(set.union(*spoken)) == sum(map(len, spoken))


def test_words_are_letters_and_phones_without_stress(splits):
    phones = {phone for words in splits.values() for _, said in words for phone in said.split(" ")}
    assert len(phones) == 39
    assert all(phone.isalpha() and phone.isupper() for phone in phones)
    for words in splits.values():
        for word, _ in words:
            assert word.isascii()
            assert word.islower()
            assert 3 <= len(word) <= 14


def test_the_builder_has_them_all(splits, examples):
    found = {
        split: {(row["letters"].decode(), row["phones"].decode()) for row in rows}
        for split, rows in examples("cmudict").items()
    }
    assert found == {split: set(words) for split, words in splits.items()}
