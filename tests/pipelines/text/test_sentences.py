"""Sentences: nothing is lost, and they end where they should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.sentences import split_sentences


@given(st.text("ab. AB?!\"'", max_size=60).map(lambda text: " ".join(text.split())))
def test_sentences_joined_by_spaces_are_the_text(text):
    assert " ".join(split_sentences(text)) == text


@pytest.mark.parametrize(
    "sentences",
    [
        ["We are one.", "We are many."],
        ["Are we?", "Yes!", '"We are."', "So it is."],
        ['He said: "It is so."', "It was."],
        ["Mr. Adams of St. Louis met Gen. U. S. Grant at 3 p.m. yesterday.", "They spoke."],
        ["It cost $1.5 million in 1950.", "$2 is less."],
        ["See No. 5 of the list.", "(It is short.)", "1950 was a good year."],
        ["It rose to 4.5%. of all"],
        [""],
    ],
)
def test_abbreviations_and_numbers_do_not_end_sentences(sentences):
    assert split_sentences(" ".join(sentences)) == sentences
