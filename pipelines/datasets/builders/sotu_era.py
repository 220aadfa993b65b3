"""Sentences of State of the Union addresses and the era they were said in, needing no network.

The speeches are those of `sotu.py`, which states source and licence. Sentences have 8 to 60 words.
Those that occur twice anywhere in the speeches, apart from case, digits and punctuation, are left
out. Each split has as many sentences of every era, drawn at random from its own speeches:

| split      | sentences | per era |
|------------|-----------|---------|
| train      | 10350     | 3450    |
| validation | 2040      | 680     |
| test       | 2100      | 700     |

No speech is in two splits, but presidents are. One sentence in 22 names a year, which may give its
era away; others, out of context, could be of any time: nobody gets all right.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets import splitting
from pipelines.datasets.builders import sotu

PER_ERA = {"train": 3450, "validation": 680, "test": 700}
WORDS = range(8, 61)


class SotuEra(tfds.core.GeneratorBasedBuilder):
    """Sentences in three balanced classes, split by speech."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split by speech; balanced; no sentence twice."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Sentences of State of the Union addresses, labelled by era.",
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=list(sotu.ERAS)),
                }
            ),
            supervised_keys=("text", "label"),
            homepage="https://github.com/stdlib-js/datasets",
            license="CC0-1.0 AND PDDL-1.0",
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # The speeches arrive with this package.
        by_split = {split: _sentences(split) for split in PER_ERA}
        times = Counter(letters(text) for found in by_split.values() for text, _ in found)
        return {
            split: self._generate_examples(
                [(text, era) for text, era in found if times[letters(text)] == 1], PER_ERA[split]
            )
            for split, found in by_split.items()
        }

    def _generate_examples(self, sentences: list[tuple[str, str]], per_era: int):
        drawn = splitting.shuffled(sentences, key=lambda sentence: sentence[0])
        for era in sotu.ERAS:
            for text in [text for text, other in drawn if other == era][:per_era]:
                yield text, {"text": text, "label": era}


def _sentences(split: str) -> list[tuple[str, str]]:
    return [
        (text, speech.era)
        for speech in sotu.speeches(split)
        for text in speech.sentences()
        if len(text.split()) in WORDS
    ]


def letters(text: str) -> str:
    """Returns what sentences that are near copies of each other have in common."""
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))
