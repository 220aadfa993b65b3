"""Questions about addresses: answers are parts of passages, and references are unambiguous."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from pipelines.datasets.builders import address_questions, us_addresses
from pipelines.datasets.builders.address_questions import KINDS, SEPARATOR, Question, parts

ADDRESS = (
    ("17", "AddressNumber"),
    ("N.", "StreetNamePreDirectional"),
    ("Main", "StreetName"),
    ("St.,", "StreetNamePostType"),
    ("#", "OccupancyIdentifier"),
    ("2,", "OccupancyIdentifier"),
    ("Springfield,", "PlaceName"),
    ("IL", "StateName"),
)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Question]]:
    addresses = us_addresses.addresses()
    return {split: address_questions.questions(x, split) for split, x in addresses.items()}


def test_parts_are_runs_of_labels_without_punctuation_around_them():
    assert parts(ADDRESS) == {
        "number": ("17", 0),
        "street": ("N. Main St", 3),
        "unit": ("# 2", 16),
        "city": ("Springfield", 21),
        "state": ("IL", 34),
    }
    twice = (*ADDRESS[:4], ("and", "IntersectionSeparator"), ("5th", "StreetName"))
    assert "street" not in parts(twice)


def test_answers_are_parts_of_their_passages(splits):
    for questions in splits.values():
        for one in questions:
            assert one.context[one.start :].startswith(one.answer)
            assert one.answer == one.answer.strip()


def test_in_a_passage_of_two_addresses_the_question_says_which(splits):
    """It quotes a part of one address that the other has not."""
    for questions in splits.values():
        for one in questions:
            first, separator, second = one.context.partition(SEPARATOR)
            if separator:
                meant, other = (first, second) if one.start < len(first) else (second, first)
                noun = "the address " if "the address " in one.question else "the place "
                told = one.question.partition(noun)[2]
                assert any(told.startswith(word) for word in ("in ", "on ", "with the "))
                assert words(told) & words(meant) - words(other)


def test_half_of_the_questions_of_validation_and_test_are_in_new_wordings(splits):
    assert not any(one.new for one in splits["train"])
    for split in ("validation", "test"):
        new = [one.new for one in splits[split]]
        assert 0.45 < sum(new) / len(new) < 0.55
    known = {wording for kind in KINDS.values() for wording in kind.known}
    assert not known & {wording for kind in KINDS.values() for wording in kind.new}
    read = {word for wording in known for word in wording.strip("?.").split()}
    for kind in KINDS.values():
        for wording in kind.new:
            assert set(wording.strip("?.").split()) <= read, wording


def test_no_passage_is_in_two_splits_and_no_question_is_twice(splits):
    passages = [{one.context for one in questions} for questions in splits.values()]
    assert len(set.union(*passages)) == sum(map(len, passages))
    for questions in splits.values():
        assert max(Counter((one.context, one.question) for one in questions).values()) == 1


def test_the_builder_has_them_all(splits, examples):
    for split, rows in examples("address_questions").items():
        found = {(row["question"].decode(), row["context"].decode()) for row in rows}
        assert found == {(one.question, one.context) for one in splits[split]}
        assert len(rows) == len(splits[split])
