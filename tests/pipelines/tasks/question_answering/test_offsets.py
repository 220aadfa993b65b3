"""Offsets of answers: whatever they count, they lead to the same span."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.tasks.question_answering import offsets
from pipelines.tasks.question_answering.offsets import CHARACTERS, FORM, Span, locate

LETTERS = st.sampled_from("ab \n🙂éßİ日\u0301가\u1100\u1161\r") | st.characters(
    codec="utf-8", exclude_characters="\0"
)
TEXT = st.text(LETTERS, max_size=12)


@st.composite
def placed(draw) -> tuple[str, str, int]:
    """A passage, an answer that is in it once, and the character at which it starts."""
    before, answer, behind = draw(TEXT), draw(st.text(LETTERS, min_size=1, max_size=5)), draw(TEXT)
    passage = before + answer + behind
    assume(answer.strip() == answer and passage.count(answer) == 1)
    assume(len(offsets.occurrences(passage, answer)) == 1)
    return passage, answer, len(before)


def utf8(passage, start):
    return len(passage[:start].encode())


def utf16(passage, start):
    return len(passage[:start].encode("utf-16-le")) // 2


@given(placed())
def test_characters_bytes_and_code_units_lead_to_the_same_span(case):
    passage, answer, start = case
    for count in (lambda _, start: start, utf8, utf16):
        span = locate(passage, answer, count(passage, start))
        assert isinstance(span, Span)
        assert (span.start, span.end) == (start, start + len(answer))
    assert locate(passage, answer, start) == Span(start, start + len(answer))


@given(placed(), st.integers(-5, 40) | st.none())
def test_any_offset_of_an_answer_that_is_there_once_is_mended(case, wrong):
    passage, answer, start = case
    span = locate(passage, answer, wrong)
    assert isinstance(span, Span)
    assert (span.start, span.end) == (start, start + len(answer))
    assert bool(span.mended) == (wrong not in (start, None))


@given(TEXT, st.text(LETTERS, min_size=1).filter(str.strip), st.integers(0, 30) | st.none())
def test_a_span_is_always_the_answer_but_for_white_space_and_form(passage, answer, start):
    span = locate(passage, answer, start)
    if isinstance(span, Span):
        found, wanted = (
            "".join(unicodedata.normalize("NFD", text).split())
            for text in (passage[span.start : span.end], answer)
        )
        assert found == wanted


def file(unit) -> list[tuple[str, str, int]]:
    """Two places of each answer, of which the second is meant."""
    passages = [
        f"Zo{'ë' * (n % 2)} {'🙂' * (n % 3)} {n} of {n}\r\nin e\u0301 {n} of é" for n in range(6)
    ]
    starts = [passage.rindex(str(n)) for n, passage in enumerate(passages)]
    return [
        (passage, str(n), unit(passage, start))
        for n, (passage, start) in enumerate(zip(passages, starts, strict=True))
    ]


COUNTS = {
    CHARACTERS: lambda passage, start: start,
    "bytes of UTF-8": utf8,
    "code units of UTF-16": utf16,
    "characters counted from 1": lambda passage, start: start + 1,
    "characters with line breaks of one": lambda passage, start: start - passage.count("\r"),
}


@pytest.mark.parametrize("unit", COUNTS)
def test_the_unit_of_a_file_is_the_one_in_which_most_offsets_are_right(unit):
    answers = file(COUNTS[unit])
    wrong = [("nothing of it", "it", 0)]
    assert offsets.best_unit(answers + wrong) == unit
    for (passage, answer, start), (_, _, meant) in zip(
        answers, file(COUNTS[CHARACTERS]), strict=True
    ):
        span = locate(passage, answer, start, unit)
        assert isinstance(span, Span)
        assert (span.start, span.end) == (meant, meant + 1)


def test_ascii_alone_counts_characters():
    assert offsets.best_unit([("in Rome", "Rome", 3), ("in Rome", "Rome", 4)]) == CHARACTERS
    assert offsets.best_unit([]) == CHARACTERS


def test_one_byte_offset_is_told_from_a_chance_hit_by_the_others():
    # The offset of the last in bytes is that of another "a" in characters.
    cases = [("é é", "é", 3), ("ß b", "b", 3), ("éa aa", "a", 2)]
    unit = offsets.best_unit(cases)
    assert unit == "bytes of UTF-8"
    assert locate(*cases[2], unit) == Span(
        1, 2, "offsets in bytes of UTF-8, turned into characters"
    )


@pytest.mark.parametrize(
    ("passage", "answer", "start", "found"),
    [
        ("in Rome.", "Rome", 2, "Rome"),
        ("in   Rome.", "Rome", 3, "Rome"),
        ("in Rome.", " Rome ", 3, "Rome"),
        ("in Rome.", " Rome", 2, " Rome"),
        ("in New\n  York.", "New York", 3, "New\n  York"),
        ("in New\u00a0York.", "New York", 3, "New\u00a0York"),
        ("  in Rome, Rome", "Rome", 9, "Rome"),
        # In another form of Unicode.
        ("ein Cafe\u0301 da", "Café", 4, "Cafe\u0301"),
        ("ein Café da", "Cafe\u0301", 4, "Café"),
        ("\u1112\u1161\u11ab 가", "가", 4, "가"),
        ("가 \u1112\u1161\u11ab", "한", 2, "\u1112\u1161\u11ab"),
    ],
)
def test_white_space_and_form_may_differ(passage, answer, start, found):
    for given_start in (start, None):
        span = locate(passage, answer, given_start)
        assert isinstance(span, Span)
        assert passage[span.start : span.end] == found or given_start is None


def test_offsets_in_another_form_of_the_passage_are_turned():
    passage = "e\u0301 e\u0301 ab ab"
    composed = unicodedata.normalize("NFC", passage).rindex("ab")
    assert locate(passage, "ab", composed) == Span(
        9, 11, "offsets in characters of Unicode's form NFC, turned into characters"
    )
    decomposed = len(unicodedata.normalize("NFD", "é 日 ab "))
    assert locate("é 日 ab ab", "ab", decomposed) == Span(
        7, 9, "offsets in characters of Unicode's form NFD, turned into characters"
    )


@pytest.mark.parametrize(
    ("passage", "answer", "spots"),
    [
        # Parts of words are no answers where whole words are.
        ("2015 and 5 or 15", "5", [(9, 10)]),
        ("a 2015 b", "5", [(5, 6)]),
        ("日本の本", "本", [(1, 2), (3, 4)]),
        ("aaa", "aa", [(0, 2), (1, 3)]),
        ("Cafe\u0301 cafe", "Cafe", [(0, 4)]),
        ("e\u0301", "é", [(0, 2)]),
        ("Rome", "rome", []),
        ("", "a", []),
    ],
)
def test_whole_words_are_preferred(passage, answer, spots):
    assert offsets.occurrences(passage, answer) == spots


def test_a_missing_offset_is_the_only_place_or_the_first():
    assert locate("in Rome", "Rome", None) == Span(3, 7)
    assert locate("Rome, Rome", "Rome", None) == Span(0, 4, offsets.FIRST)
    assert locate("Cafe\u0301", "Café", None) == Span(0, 5, FORM)


def test_what_nobody_can_tell_is_said():
    assert locate("in Rome", "Paris", 3) == "the answer 'Paris' is not in the passage"
    assert locate("Rome or Rome", "Rome", 3) == (
        "the answer 'Rome' is 2 times in the passage, but not at 3"
    )
