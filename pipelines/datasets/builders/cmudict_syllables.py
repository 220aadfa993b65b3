"""English words with the number of their syllables.

The words and their splits are those of `cmudict.py`, which states source and license. A syllable
has one vowel, so the number is that of vowels among the phones of a word's first pronunciation
("grady", G R EY D IY: 2 syllables). A word without any would be left out.

| split      | words | 1 syllable | 2    | 3    | 4    | 5 or more |
|------------|-------|------------|------|------|------|-----------|
| train      | 16000 | 2233       | 7295 | 4364 | 1611 | 497       |
| validation | 1948  | 174        | 927  | 572  | 201  | 74        |
| test       | 1948  | 146        | 928  | 594  | 209  | 71        |

The number depends on the order of letters: "laureate" has three syllables and "retreat" two, as has
"quiet". To count runs of the letters aeiouy, less a silent "e" at the end, is right for 83 % of
validation. Limits: of words with several pronunciations the dictionary's first one counts; many
words are family names, whose origin tells how they are read ("boes" has one syllable, "teate" two).
"""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples, cmudict

CLASS_NAMES = ("1 syllable", "2 syllables", "3 syllables", "4 syllables", "5 or more syllables")
VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())


class CmudictSyllables(tfds.core.GeneratorBasedBuilder):
    """Words in five classes, split by their first letters."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "The words and the splits of cmudict 1.0.0."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="English words, labeled by their number of syllables.",
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                }
            ),
            supervised_keys=("text", "label"),
            **cmudict.SOURCE,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {
            split: self._generate_examples(words) for split, words in cmudict.by_prefix().items()
        }

    def _generate_examples(self, words: list[cmudict.Entry]) -> Examples:
        for word in words:
            if count := syllables(word.phones):
                yield (
                    word.letters,
                    {"text": word.letters, "label": min(count, len(CLASS_NAMES)) - 1},
                )


def syllables(phones: str) -> int:
    """Returns the number of vowels among phones that are separated by spaces."""
    return sum(phone in VOWELS for phone in phones.split())
