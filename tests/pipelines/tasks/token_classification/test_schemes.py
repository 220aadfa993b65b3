"""Schemes of tags: recognized from a whole set, and turned into BIO with the same spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from pipelines.tasks.token_classification import schemes

# Spans and what is outside, one behind another: a type, or "" for a single word outside; a length.
SPANS = st.lists(st.tuples(st.sampled_from(["", "X", "Y-Z"]), st.integers(1, 4)), max_size=8)
LETTERS = {"BIOES": "BIES", "BILOU": "BILU", "BIMESW": "BMEW"}


def written(spans, first: str, inside: str, last: str, single: str) -> list[str]:
    tags: list[str] = []
    for kind, length in spans:
        own = single if length == 1 else first + inside * (length - 2) + last
        tags += [f"{letter}-{kind}" for letter in own] if kind else ["O"]
    return tags


def in_iob1(spans) -> list[str]:
    tags: list[str] = []
    for kind, length in spans:
        behind = bool(kind and tags) and tags[-1].partition("-")[2] == kind
        own = ("B" if behind else "I") + "I" * (length - 1)
        tags += [f"{letter}-{kind}" for letter in own] if kind else ["O"]
    return tags


@pytest.mark.parametrize("letters", LETTERS.values())
@given(spans=SPANS)
def test_tags_with_ends_are_turned_into_those_without(letters, spans):
    tags = written(spans, *letters)
    found = schemes.to_bio(tags, "BIOES")
    assert found == written(spans, "B", "I", "I", "B")
    assert schemes.fault(tags, "BIOES") is None


@given(SPANS)
def test_spans_of_bioes_are_those_that_seqeval_finds(spans):
    tags = written(spans, "B", "I", "E", "S")
    assert get_entities(schemes.to_bio(tags, "BIOES")) == get_entities(tags)


def strict(tags, scheme) -> list[tuple]:
    return [entity.to_tuple()[1:] for entity in Entities([tags], scheme).entities[0]]


@given(SPANS)
def test_spans_of_all_schemes_are_those_of_a_strict_reading(spans):
    for tags, name, scheme in [
        (in_iob1(spans), "IOB1", IOB1),
        (written(spans, *"BILU"), "BILOU", BILOU),
        (written(spans, *"BIES"), "BIOES", IOBES),
    ]:
        found = schemes.to_bio(tags, name)
        assert strict(found, IOB2) == strict(tags, scheme)
        assert strict(found, IOB2) == get_or_none(found)


def get_or_none(tags) -> list[tuple]:
    return [(kind, start, end + 1) for kind, start, end in get_entities(tags)]


@given(st.lists(SPANS, min_size=1, max_size=4))
def test_bio_is_left_as_it_is(texts):
    tags = [written(spans, "B", "I", "I", "B") for spans in texts]
    assert schemes.recognize(tags) == "BIO"
    assert [schemes.to_bio(row, "BIO") for row in tags] == tags
    assert all(schemes.fault(row, "BIO") is None for row in tags)


@pytest.mark.parametrize(
    ("texts", "scheme"),
    [
        ([["O"], []], "BIO"),
        ([["B-X", "I-X"], ["B-X"]], "BIO"),
        # In IOB1, B- is needed only between two spans of a type, and none may be such.
        ([["I-X", "I-X", "O"]], "IOB1"),
        ([["I-X", "B-X"], ["I-Y", "I-X"]], "IOB1"),
        ([["B-X", "B-X"], ["I-X"]], "BIO"),
        ([["B-X"], ["O", "I-X"]], "BIO"),
        ([["B-X", "E-X", "O"], ["S-Y"]], "BIOES"),
        ([["S-X"], ["O"]], "BIOES"),
        ([["B-X", "L-X", "O"], ["U-Y"]], "BILOU"),
        ([["B-X", "M-X", "E-X"], ["S-Y"]], "BMES"),
    ],
)
def test_a_scheme_is_recognized_over_all_texts(texts, scheme):
    assert schemes.recognize(texts) == scheme


@pytest.mark.parametrize(
    ("tags", "scheme", "place", "words"),
    [
        (["O", "I-X"], "BIO", 1, "I-X follows O"),
        (["I-X"], "BIO", 0, "I-X opens the sentence"),
        (["B-X", "I-Y", "I-X"], "BIO", 1, "I-Y follows B-X"),
        (["B-X", "E-X", "I-X"], "BIOES", 2, "I-X follows E-X"),
        (["S-X", "E-X"], "BIOES", 1, "E-X follows S-X"),
        (["U-X", "L-X"], "BILOU", 1, "L-X follows U-X"),
    ],
)
def test_what_continues_no_span_is_a_fault(tags, scheme, place, words):
    found = schemes.fault(tags, scheme)
    assert found is not None
    assert found[0] == place
    assert words in found[1]


@pytest.mark.parametrize("tag", ["NOUN", "o", "0", "B", "B-", "b-PER", "B_PER", "PER-B", "X-Y", ""])
def test_other_tags_are_of_no_scheme(tag):
    assert not schemes.is_tag(tag)
