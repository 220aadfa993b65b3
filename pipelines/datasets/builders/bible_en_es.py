"""Verses of the Bible in English and Spanish.

Source: the World English Bible and the Reina-Valera of 1909, both in the public domain, as in the
Debian packages sword-text-web and sword-text-sparv. The extract has verses of at most
100 characters in either language, without notes. The English is of this century, the Spanish of
1909 ("á", "fué"), and neither is a translation of the other.

A chapter is in one split. Books that retell each other (Kings and Chronicles, the first three
gospels, laws and genealogies, …: `RETOLD`) are in train only. Pairs in validation and test whose
English or Spanish, without case and punctuation, is also in an earlier split are removed:

| split      | chapters | pairs | words of English | words of Spanish |
|------------|----------|-------|------------------|------------------|
| train      | 974      | 9098  | 127463           | 120665           |
| validation | 85       | 833   | 11468            | 10866            |
| test       | 91       | 836   | 12190            | 11303            |

Limits: names, formulas and quotations recur across the splits; 1.1 % of the test pairs have a
training pair whose English shares at least 80 % of its words with theirs.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import tensorflow_datasets as tfds

from pipelines.datasets import extracts, splitting
from pipelines.datasets.builders import Examples

# Books that have whole passages in common.
RETOLD = frozenset(
    {
        *("Exodus", "Leviticus", "Numbers", "Deuteronomy"),
        *("I Samuel", "II Samuel", "I Kings", "II Kings", "I Chronicles", "II Chronicles"),
        *("Ezra", "Nehemiah", "Matthew", "Mark", "Luke", "II Peter", "Jude"),
    }
)
FRACTIONS = {"train": 0.76, "validation": 0.12, "test": 0.12}


class Verse(NamedTuple):
    """A verse in both languages, and its place."""

    book: str
    chapter: str
    english: str
    spanish: str


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

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(verses) for split, verses in by_chapter().items()}

    def _generate_examples(self, verses: list[Verse]) -> Examples:
        for index, verse in enumerate(verses):
            yield index, {"en": verse.english, "es": verse.spanish}


def by_chapter() -> dict[str, list[Verse]]:
    """Returns the verses of each split."""
    verses = [Verse(*row) for row in extracts.read_rows("bible_en_es.txt")]
    others = [verse for verse in verses if verse.book not in RETOLD]
    splits = splitting.by_group(others, lambda verse: f"{verse.book} {verse.chapter}", FRACTIONS)
    splits["train"] = [verse for verse in verses if verse.book in RETOLD] + splits["train"]
    return splitting.deduplicate(
        splits,
        lambda verse: [splitting.normalize(verse.english), splitting.normalize(verse.spanish)],
    )
