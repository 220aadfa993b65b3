"""Byte pairs by Python loops and the published regular expression, to test the graph by."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import regex

UNITS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def characters() -> dict[int, str]:
    """Returns the character that stands for each byte."""
    found, other = {}, 256
    for byte in range(256):
        latin = chr(byte)
        if latin.isprintable() and not latin.isspace() and byte not in (0xAD,):
            found[byte] = latin
        else:
            found[byte] = chr(other)
            other += 1
    return found


def encode(text: str, ids: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> list[int]:
    """Returns the ids of a text."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    shown = characters()
    found = []
    for unit in UNITS.findall(text):
        word = [shown[byte] for byte in unit.encode()]
        while len(word) > 1:
            pairs = [*itertools.pairwise(word)]
            rank, place = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(pairs))
            if rank == len(ranks):
                break
            word[place : place + 2] = ["".join(pairs[place])]
        found += [ids[token] for token in word]
    return found
