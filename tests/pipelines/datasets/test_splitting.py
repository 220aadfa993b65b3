"""Splits by the unit that leaks."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
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


EXAMPLES = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), max_size=80)


@given(EXAMPLES, st.integers(0, 5), st.sampled_from([("validation", "test"), ("test",)]))
def test_each_example_is_in_one_split_and_its_copies_too(examples, seed, held_out):
    keys, labels = [key for key, _ in examples], [label for _, label in examples]
    found = splitting.stratified(keys, labels, seed, held_out)
    assert list(found) == ["train", *held_out]
    assert sorted(index for own in found.values() for index in own) == list(range(len(keys)))
    assert all(own.tolist() == sorted(own.tolist()) for own in found.values())
    of_keys = [{keys[index] for index in own} for own in found.values()]
    assert sum(map(len, of_keys)) == len(set(keys))
    assert {labels[index] for index in found["train"]} == set(labels)


def as_lists(found: dict[str, np.ndarray]) -> dict[str, list[int]]:
    return {split: own.tolist() for split, own in found.items()}


def plainly(examples: list[tuple[int, str]], seed: int) -> dict[str, list[int]]:
    """Splits as `stratified` does, in dicts and lists."""
    groups: dict[int, list[int]] = {}
    for index, (key, _) in enumerate(examples):
        groups.setdefault(key, []).append(index)
    sizes = Counter(label for _, label in examples)
    strata: dict[str, list[list[int]]] = {}
    for group in groups.values():
        rarest = min((examples[index][1] for index in group), key=sizes.__getitem__)
        strata.setdefault(rarest, []).append(group)
    random = np.random.default_rng(seed)
    split: dict[str, list[int]] = {name: [] for name in splitting.SPLITS}
    for stratum in strata.values():
        order = [stratum[index] for index in random.permutation(len(stratum))]
        share = max(1, round(len(order) / 10))
        for name in ("test", "validation"):
            if len(order) > 1:
                split[name] += chain.from_iterable(order[:share])
                order = order[share:]
        split["train"] += chain.from_iterable(order)
    return {name: sorted(indices) for name, indices in split.items()}


@given(EXAMPLES, st.integers(0, 5))
def test_arrays_split_as_dicts_do(examples, seed):
    keys, labels = [key for key, _ in examples], [label for _, label in examples]
    expected = plainly(examples, seed)
    assert as_lists(splitting.stratified(keys, labels, seed)) == expected
    assert as_lists(splitting.stratified(np.array(keys, np.int64), labels, seed)) == expected


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_a_tenth_of_each_class_is_held_out(sizes):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    found = splitting.stratified(range(len(labels)), labels, 0)
    for label, size in enumerate(sizes):
        count = {split: sum(labels[i] == label for i in own) for split, own in found.items()}
        share = max(1, round(size / 10))
        assert count["test"] == (share if size > 1 else 0)
        assert count["validation"] == (share if size > 2 else 0)


def test_the_seed_decides_and_the_same_seed_decides_the_same():
    first, again, other = (splitting.stratified(range(50), None, seed) for seed in (0, 0, 1))
    assert as_lists(first) == as_lists(again)
    assert as_lists(first) != as_lists(other)
    assert [len(own) for own in first.values()] == [40, 5, 5]


def test_a_part_is_drawn_by_its_seed_and_keeps_the_order():
    items = list("abcdefghij")
    part = splitting.at_most(items, 4, seed=0)
    assert part == sorted(part)
    assert len(set(part)) == 4
    assert splitting.at_most(items, 4, seed=0) == part
    assert any(splitting.at_most(items, 4, seed=seed) != part for seed in range(1, 9))


@pytest.mark.parametrize("most", [0, 3, 4])
def test_all_items_are_taken_if_there_are_no_more(most):
    assert splitting.at_most("abc", most, seed=0) == list("abc")
