"""Splits by the unit that leaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets import splitting

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


@given(sizes=st.lists(st.integers(1, 5), max_size=60))
def test_groups_stay_whole_and_nothing_is_lost(sizes):
    items = [(group, number) for group, size in enumerate(sizes) for number in range(size)]
    splits = splitting.by_group(items, lambda item: str(item[0]), SHARES)
    assert sorted(item for members in splits.values() for item in members) == items
    groups = [{group for group, _ in members} for members in splits.values()]
    assert sum(map(len, groups)) == len(sizes)


@given(sizes=st.lists(st.integers(1, 5), min_size=40, max_size=60))
def test_shares_are_met_to_within_a_group(sizes):
    items = [(group, number) for group, size in enumerate(sizes) for number in range(size)]
    splits = splitting.by_group(items, lambda item: str(item[0]), SHARES)
    for split, share in SHARES.items():
        assert abs(len(splits[split]) - share * len(items)) <= 5


def test_the_order_of_the_items_does_not_matter():
    forth = splitting.by_group(range(100), str, SHARES)
    back = splitting.by_group(range(99, -1, -1), str, SHARES)
    assert forth == back
    assert len(forth["train"]) == 70


def test_shuffling_depends_on_the_keys_only():
    assert splitting.shuffled([3, 1, 2], str) == splitting.shuffled([1, 2, 3], str)
    assert splitting.shuffled(range(100), str) != list(range(100))
    assert sorted(splitting.shuffled(range(100), str)) == list(range(100))


def test_no_items_make_empty_splits():
    assert splitting.by_group([], str, SHARES) == {"train": [], "validation": [], "test": []}


@pytest.mark.parametrize("size", [1, 2])
def test_few_items_go_to_the_first_splits(size):
    splits = splitting.by_group(range(size), str, SHARES)
    assert len(splits["train"]) == 1


def test_repeats_are_left_out_of_later_splits():
    splits = {"train": [("a", "x"), ("a", "y")], "validation": [("b", "x"), ("c", "z")], "test": []}
    splits["test"] = [("d", "z"), ("e", "v"), ("f", "v")]
    kept = splitting.without_repeats(splits, lambda item: item)
    assert kept == {
        "train": [("a", "x"), ("a", "y")],
        "validation": [("c", "z")],
        "test": [("e", "v"), ("f", "v")],
    }
