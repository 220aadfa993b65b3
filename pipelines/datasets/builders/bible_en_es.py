"""Verses of the Bible in English and Spanish, as a TFDS builder that needs no network.

Source: the World English Bible and the Reina-Valera of 1909, both in the public domain, as in the
Debian packages sword-text-web and sword-text-sparv. An extract lies in `extracts/`: verses of at
most 100 characters in either language, without notes. English is of this century, Spanish of 1909
("á", "fué"), and neither is a translation of the other.

Chapters are whole in one split. The books that retell each other (Kings and Chronicles, the first
three gospels, laws and genealogies, …: `RETOLD`) are in train only. Of validation and test, pairs
are left out whose English or Spanish, apart from case and punctuation, stands in a split before
theirs too:

| split      | chapters | pairs | words of English | words of Spanish |
|------------|----------|-------|------------------|------------------|
| train      | 974      | 9098  | 127463           | 120665           |
| validation | 85       | 833   | 11468            | 10866            |
| test       | 91       | 836   | 12190            | 11303            |

Limits: names, formulas and quotations recur across the splits; 1.1 % of the test pairs have a
training pair whose English has at least 80 % of its words in common with theirs.
"""

from __future__ import annotations

import re
from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets import extracts, splitting

# Books of which whole passages stand in another of them.
RETOLD = frozenset(
    {
        *("Exodus", "Leviticus", "Numbers", "Deuteronomy"),
        *("I Samuel", "II Samuel", "I Kings", "II Kings", "I Chronicles", "II Chronicles"),
        *("Ezra", "Nehemiah", "Matthew", "Mark", "Luke", "II Peter", "Jude"),
    }
)
SHARES = {"train": 0.76, "validation": 0.12, "test": 0.12}

# Book, chapter, English, Spanish.
Verse = tuple[str, str, str, str]


class BibleEnEs(tfds.core.GeneratorBasedBuilder):
    """Pairs of verses, split by chapter."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split by chapter; retold books in train; no repeats."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Verses of the Bible in English and Spanish.",
            features=tfds.features.Translation(languages=("en", "es")),
            supervised_keys=("en", "es"),
            homepage="https://ebible.org",
            citation="World English Bible, 2020. Reina-Valera, 1909.",
            license="Public domain",
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # The verses arrive with this package.
        return {split: self._generate_examples(verses) for split, verses in by_chapter().items()}

    def _generate_examples(self, verses: list[Verse]):
        for index, (_, _, english, spanish) in enumerate(verses):
            yield index, {"en": english, "es": spanish}


def by_chapter() -> dict[str, list[Verse]]:
    """Returns the verses of each split."""
    lines = extracts.read("bible_en_es.txt").decode().splitlines()
    verses: list[Verse] = [tuple(line.split("\t")) for line in lines]  # type: ignore[misc]
    free = [verse for verse in verses if verse[0] not in RETOLD]
    splits = splitting.by_group(free, lambda verse: " ".join(verse[:2]), SHARES)
    splits["train"] = [verse for verse in verses if verse[0] in RETOLD] + splits["train"]
    return splitting.without_repeats(splits, lambda verse: [letters(text) for text in verse[2:]])


def letters(text: str) -> str:
    """Returns what verses that are near copies of each other have in common."""
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))
