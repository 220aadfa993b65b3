"""Speeches: each in one split, with its sentences."""

from __future__ import annotations

import re

import pytest

from pipelines.datasets.builders import sotu

SPLITS = {"train": (84, 2677819), "validation": (17, 472070), "test": (17, 604740)}


@pytest.fixture(scope="module")
def speeches() -> dict[str, list[sotu.Speech]]:
    return {split: sotu.speeches(split) for split in SPLITS}


def test_each_split_has_its_speeches(speeches):
    found = {
        split: (len(members), sum(len(speech.text) for speech in members))
        for split, members in speeches.items()
    }
    assert found == SPLITS


def test_no_speech_is_in_two_splits(speeches):
    names = [speech.name for members in speeches.values() for speech in members]
    texts = {speech.text for members in speeches.values() for speech in members}
    assert len(names) == len(set(names)) == len(texts) == 118


def test_every_split_has_every_era_in_the_order_of_the_years(speeches):
    for members in speeches.values():
        years = [speech.year for speech in members]
        assert years == sorted(years)
        assert {speech.era for speech in members} == set(sotu.ERAS)


@pytest.mark.parametrize(
    ("year", "era"),
    [
        (1790, "before 1861"),
        (1860, "before 1861"),
        (1861, "1861-1932"),
        (1932, "1861-1932"),
        (1933, "1933 and later"),
        (2020, "1933 and later"),
    ],
)
def test_the_era_follows_from_the_year(year, era):
    assert sotu.Speech("", year, "", "", "").era == era


def test_a_speech_says_whose_it_is(speeches):
    (lincoln,) = [s for s in speeches["train"] if s.name == "1863_abraham_lincoln_r"]
    assert (lincoln.year, lincoln.president, lincoln.party) == (
        *(1863, "Abraham Lincoln", "Republican"),
    )
    assert lincoln.text.startswith("Fellow-Citizens of the Senate and House of Representatives:")


def test_texts_are_running_text_without_notes_of_transcribers(speeches):
    for members in speeches.values():
        for speech in members:
            assert re.fullmatch(r"\S+( \S+)*", speech.text)
            assert not re.search(r"\[(applause|laughter|p\.|footnote)", speech.text.lower())


def test_the_sentences_of_a_speech_are_its_text(speeches):
    for speech in speeches["validation"]:
        sentences = speech.sentences()
        assert " ".join(sentences) == speech.text
        assert 40 < len(sentences) < 600
