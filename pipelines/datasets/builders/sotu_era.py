"""Sentences of State of the Union addresses with the era of the speech.

The speeches are those of `sotu.py`, which states source and license. Sentences have 8 to 60 words.
Sentences that occur twice in all speeches, without case, digits and punctuation, are removed. Each
split has equally many sentences of each era, sampled at random from its own speeches:

| split      | sentences | per era |
|------------|-----------|---------|
| train      | 10350     | 3450    |
| validation | 2040      | 680     |
| test       | 2100      | 700     |

A speech is in one split; a president may be in several. One sentence in 22 has a year, which may
tell its era; others, without context, could be of any era: an accuracy of 1 is impossible.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets import splitting
from pipelines.datasets.builders import Examples, sotu

PER_ERA = {"train": 3450, "validation": 680, "test": 700}
WORDS = range(8, 61)


class SotuEra(tfds.core.GeneratorBasedBuilder):
    """Sentences in three balanced classes, split by speech."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split by speech; balanced; no sentence twice."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Sentences of State of the Union addresses, labeled by era.",
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

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        by_split = {split: _sentences(split) for split in PER_ERA}
        times = Counter(
            splitting.normalize(text) for found in by_split.values() for text, _ in found
        )
        return {
            split: self._generate_examples(
                [pair for pair in found if times[splitting.normalize(pair[0])] == 1],
                PER_ERA[split],
            )
            for split, found in by_split.items()
        }

    def _generate_examples(self, sentences: list[tuple[str, str]], per_era: int) -> Examples:
        sampled = splitting.shuffled(sentences, key=lambda sentence: sentence[0])
        for era in sotu.ERAS:
            for text in [text for text, other in sampled if other == era][:per_era]:
                yield text, {"text": text, "label": era}


def _sentences(split: str) -> list[tuple[str, str]]:
    return [
        (text, speech.era)
        for speech in sotu.speeches(split)
        for text in speech.sentences()
        if len(text.split()) in WORDS
    ]
