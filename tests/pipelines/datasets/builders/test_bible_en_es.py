"""Verses: whole chapters in one split, retold books in train, no verse in two splits."""

from __future__ import annotations

import pytest

from pipelines.datasets import extracts, splitting
from pipelines.datasets.builders import bible_en_es


@pytest.fixture(scope="module")
def splits() -> dict[str, list[bible_en_es.Verse]]:
    return bible_en_es.by_chapter()


def test_chapters_are_whole_in_one_split(splits):
    chapters = [{verse[:2] for verse in verses} for verses in splits.values()]
    assert len(set.union(*chapters)) == sum(map(len, chapters))


def test_books_that_retell_each_other_are_in_train_only(splits):
    for split in ("validation", "test"):
        assert not {verse[0] for verse in splits[split]} & bible_en_es.RETOLD
        assert len({verse[0] for verse in splits[split]}) > 20
    books = {line.split("\t")[0] for line in extracts.read("bible_en_es.txt").decode().splitlines()}
    assert books >= bible_en_es.RETOLD
    assert len(books) == 65  # The third letter of John is divided in another way.


@pytest.mark.parametrize("language", [2, 3])
def test_no_verse_of_either_language_is_in_two_splits(splits, language):
    texts = [{splitting.normalize(verse[language]) for verse in v} for v in splits.values()]
    assert len(set.union(*texts)) == sum(map(len, texts))


def test_verses_are_spaced_as_in_print(splits):
    for verses in splits.values():
        for *_, english, spanish in verses:
            for text in (english, spanish):
                assert text == " ".join(text.split())
                assert len(text) <= 100
                assert not set(text) & set("<>[]{}*")
                assert not any(f" {mark}" in text for mark in ",.;:?!)”")


def test_the_builder_has_them_all(splits, examples):
    found = {
        split: {(row["en"].decode(), row["es"].decode()) for row in rows}
        for split, rows in examples("bible_en_es").items()
    }
    assert found == {split: {verse[2:] for verse in verses} for split, verses in splits.items()}
