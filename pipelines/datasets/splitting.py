"""Splits by the unit that leaks: what is alike in it stays together."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import accumulate
from typing import TypeVar

Item = TypeVar("Item")


def shuffled(items: Iterable[Item], key: Callable[[Item], str]) -> list[Item]:
    """Returns `items` in an order that looks random and depends on nothing but their keys."""
    return sorted(items, key=lambda item: hashlib.sha256(key(item).encode()).digest())


def by_group(
    items: Iterable[Item], key: Callable[[Item], str], shares: Mapping[str, float]
) -> dict[str, list[Item]]:
    """Splits `items` such that all with one key are in one split.

    Args:
        items: What to split.
        key: What items that must stay together have in common.
        shares: Share of the items per split, adding up to 1; met to within one group.

    Returns:
        The items of each split, group by group.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    total = sum(map(len, groups.values()))
    ends = [round(share * total) for share in accumulate(shares.values())]
    splits: dict[str, list[Item]] = {split: [] for split in shares}
    done = 0
    for group in shuffled(groups, str):
        splits[list(shares)[bisect_right(ends, done)]].extend(groups[group])
        done += len(groups[group])
    return splits


def without_repeats(
    splits: Mapping[str, list[Item]], keys: Callable[[Item], Collection[str]]
) -> dict[str, list[Item]]:
    """Leaves out of each split but the first what repeats an item of a split before it.

    Args:
        splits: The items of each split, `train` first.
        keys: What of an item must not stand in an earlier split; one such key is enough.
    """
    seen: set[str] = set()
    kept: dict[str, list[Item]] = {}
    for split, items in splits.items():
        kept[split] = [item for item in items if seen.isdisjoint(keys(item))]
        seen.update(key for item in kept[split] for key in keys(item))
    return kept
