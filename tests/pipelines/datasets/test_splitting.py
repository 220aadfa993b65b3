"""Splits by the unit that leaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets import splitting

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


@given(sizes=st.lists(st.integers(1, 5), max_size=60))
def test_every_item_and_every_group_is_in_one_split(sizes):
    items = [(group, number) for group, size in enumerate(sizes) for number in range(size)]
    splits = splitting.by_group(items, lambda item: str(item[0]), FRACTIONS)
    assert sorted(item for members in splits.values() for item in members) == items
    groups = [{group for group, _ in members} for members in splits.values()]
    assert sum(map(len, groups)) == len(sizes)


@given(sizes=st.lists(st.integers(1, 5), min_size=40, max_size=60))
def test_fractions_are_exact_to_within_a_group(sizes):
    items = [(group, number) for group, size in enumerate(sizes) for number in range(size)]
    splits = splitting.by_group(items, lambda item: str(item[0]), FRACTIONS)
    for split, fraction in FRACTIONS.items():
        assert abs(len(splits[split]) - fraction * len(items)) <= 5


def test_the_order_of_the_items_does_not_matter():
    forth = splitting.by_group(range(100), str, FRACTIONS)
    back = splitting.by_group(range(99, -1, -1), str, FRACTIONS)
    assert forth == back
    assert len(forth["train"]) == 70


def test_shuffling_depends_on_the_keys_only():
    assert splitting.shuffled([3, 1, 2], str) == splitting.shuffled([1, 2, 3], str)
    assert splitting.shuffled(range(100), str) != list(range(100))
    assert sorted(splitting.shuffled(range(100), str)) == list(range(100))


def test_no_items_make_empty_splits():
    assert splitting.by_group([], str, FRACTIONS) == {"train": [], "validation": [], "test": []}


@pytest.mark.parametrize("size", [1, 2])
def test_few_items_go_to_the_first_splits(size):
    splits = splitting.by_group(range(size), str, FRACTIONS)
    assert len(splits["train"]) == 1


def test_items_of_earlier_splits_are_removed():
    splits = {"train": [("a", "x"), ("a", "y")], "validation": [("b", "x"), ("c", "z")], "test": []}
    splits["test"] = [("d", "z"), ("e", "v"), ("f", "v")]
    kept = splitting.deduplicate(splits, lambda item: item)
    assert kept == {
        "train": [("a", "x"), ("a", "y")],
        "validation": [("c", "z")],
        "test": [("e", "v"), ("f", "v")],
    }


def test_normalized_texts_are_words_in_lower_case():
    assert splitting.normalize("In 1850, Ümit's CAT_dog; No. 5!") == "in ümit s cat dog no"
    assert splitting.normalize("12:30") == ""
