"""Addresses: whole entities, tags that the source's labels imply, no near copies across splits."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from pipelines.datasets import extracts
from pipelines.datasets.builders import us_addresses


@pytest.fixture(scope="module")
def splits(examples, bundled) -> dict[str, list[list[tuple[str, str]]]]:
    names = bundled("us_addresses").info.features["tags"].feature.names
    return {
        split: [
            [
                (token.decode(), names[tag])
                for token, tag in zip(member["tokens"], member["tags"], strict=True)
            ]
            for member in members
        ]
        for split, members in examples("us_addresses").items()
    }


def test_there_are_51_tags_and_train_has_them_all_but_the_rarest(splits, bundled):
    names = bundled("us_addresses").info.features["tags"].feature.names
    assert len(names) == len(set(names)) == 51
    seen = Counter(tag for members in splits.values() for member in members for _, tag in member)
    assert set(seen) == set(names)
    in_train = {tag for member in splits["train"] for _, tag in member}
    assert {tag for tag in names if tag.startswith("B-")} <= in_train
    assert sum(count for tag, count in seen.items() if tag not in in_train) <= 5


def test_every_inside_tag_continues_an_entity(splits):
    for members in splits.values():
        for member in members:
            tags = ["", *(tag for _, tag in member)]
            for before, tag in itertools.pairwise(tags):
                if tag.startswith("I-"):
                    assert before[2:] == tag[2:]
                else:
                    assert before[2:] != tag[2:]


def test_equal_neighbours_become_one_entity():
    assert us_addresses.bio(["A", "A", "B", "A"]) == ["B-A", "I-A", "B-B", "B-A"]


def test_labels_and_tokens_are_those_of_the_source_each_address_once(splits):
    text = extracts.read("us_addresses.txt").decode()
    source = {
        tuple(tuple(line.split("\t")) for line in block.splitlines())
        for block in text.split("\n\n")
    }
    found = [
        tuple((token, tag[2:]) for token, tag in member)
        for members in splits.values()
        for member in members
    ]
    assert len(found) == len(source) == 1488
    assert set(found) == source


def test_addresses_that_differ_in_digits_only_are_in_one_split(splits):
    def skeleton(member):
        return re.sub(r"[\W\d_]+", " ", " ".join(token for token, _ in member)).strip().lower()

    skeletons = [{skeleton(member) for member in members} for members in splits.values()]
    assert len(set.union(*skeletons)) == sum(map(len, skeletons))
    assert sum(map(len, skeletons)) < 1488  # There are some.


def test_no_token_is_empty_or_has_white_space(splits):
    for members in splits.values():
        for member in members:
            assert member
            for token, _ in member:
                assert re.fullmatch(r"\S+", token)
