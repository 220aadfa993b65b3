"""Splits by the unit that leaks: examples of one group are in one split."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np

SPLITS = ("train", "validation", "test")

Item = TypeVar("Item")


def shuffled(items: Iterable[Item], key: Callable[[Item], str]) -> list[Item]:
    """Returns `items` in a pseudo-random order that depends on their keys alone."""
    return sorted(items, key=lambda item: _digest(key(item)))


def order(keys: Iterable[str]) -> np.ndarray:
    """Returns the numbers of keys, int64, in the order in which `shuffled` has them."""
    digests = bytearray()  # A list of them would take twice as much.
    for key in keys:
        digests += _digest(key)
    return np.argsort(np.frombuffer(digests, "S32"), kind="stable")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def by_group(
    items: Iterable[Item], key: Callable[[Item], str], fractions: Mapping[str, float]
) -> dict[str, list[Item]]:
    """Splits `items` so that all items with the same key are in one split.

    Args:
        items: The items.
        key: Returns the group of an item.
        fractions: Fraction of the items in each split, with a sum of 1; exact to within one group.

    Returns:
        The items of each split, group by group.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    total = sum(map(len, groups.values()))
    ends = [round(fraction * total) for fraction in accumulate(fractions.values())]
    splits: dict[str, list[Item]] = {split: [] for split in fractions}
    count = 0
    for group in shuffled(groups, str):
        splits[list(fractions)[bisect_right(ends, count)]].extend(groups[group])
        count += len(groups[group])
    return splits


def numbered(keys: Iterable[Hashable]) -> tuple[np.ndarray, int]:
    """Returns equal numbers for equal keys, int64 [keys], from 0 on in the order of the first ones.

    Returns:
        The numbers, and how many there are.
    """
    if isinstance(keys, np.ndarray) and keys.dtype.kind == "i":
        _, firsts, numbers = np.unique(keys, return_index=True, return_inverse=True)
        rank = np.empty_like(firsts)
        rank[np.argsort(firsts)] = np.arange(len(firsts))
        return rank[numbers], len(firsts)
    known: dict[Hashable, int] = {}
    numbers = np.fromiter((known.setdefault(key, len(known)) for key in keys), np.int64)
    return numbers, len(known)


def stratified(
    keys: Iterable[Hashable],
    labels: Iterable[Hashable] | None,
    seed: int,
    held_out: Sequence[str] = SPLITS[1:],
) -> dict[str, np.ndarray]:
    """Splits examples at random, each class by itself: a tenth for each split that is held out.

    Examples with the same key are duplicates, and in one split. A class with a single key is in
    train alone, one with two is not in validation.

    Args:
        keys: Says which examples are the same.
        labels: The class of each example; None for no classes.
        seed: Seed of the split.
        held_out: The splits beside train.

    Returns:
        By split, train first, the indices of its examples in ascending order, int64.
    """
    group, groups = numbered(keys)
    label, _ = numbered(labels) if labels is not None else (np.zeros_like(group), 1)
    # Duplicates with several labels count for the rarest, so that train does not lack it; of
    # labels that are as rare, for the first one's.
    rarity = np.bincount(label)[label]
    order = np.lexsort((rarity, group))
    stratum = label[order[np.searchsorted(group[order], np.arange(groups))]]
    random = np.random.default_rng(seed)
    split = np.zeros(groups, np.int8)  # The number of a group's split: 0 for train.
    by_stratum = np.argsort(stratum, kind="stable")
    ends = np.flatnonzero(np.diff(stratum[by_stratum])) + 1
    for members in sorted(np.split(by_stratum, ends), key=lambda found: found[:1].tolist()):
        left = members[random.permutation(len(members))]
        share = max(1, round(len(left) / 10))
        for number in range(len(held_out), 0, -1):
            if len(left) > 1:
                split[left[:share]] = number
                left = left[share:]
    of_each = split[group]
    return {
        name: np.flatnonzero(of_each == number) for number, name in enumerate(("train", *held_out))
    }


def at_most(items: Sequence[Item], most: int, seed: int) -> list[Item]:
    """Returns `most` items that are drawn at random, in their order; 0 stands for all."""
    if not most or len(items) <= most:
        return list(items)
    drawn = np.random.default_rng(seed).choice(len(items), most, replace=False)
    return [items[index] for index in np.sort(drawn)]


def deduplicate(
    splits: Mapping[str, list[Item]], keys: Callable[[Item], Collection[str]]
) -> dict[str, list[Item]]:
    """Removes the items of each split that have a key in common with an earlier split.

    Args:
        splits: The items of each split, `train` first.
        keys: Returns the keys of an item, as its texts.
    """
    seen: set[str] = set()
    kept: dict[str, list[Item]] = {}
    for split, items in splits.items():
        kept[split] = [item for item in items if seen.isdisjoint(keys(item))]
        seen.update(key for item in kept[split] for key in keys(item))
    return kept


def normalize(text: str) -> str:
    """Returns the words of a text in lower case, without digits and punctuation.

    Texts that are near copies of each other often have this in common.
    """
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))


def spread(size: int, count: int) -> np.ndarray:
    """Returns at most `count` indices from all over `size` examples, int [n], in order."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).astype(int))
