"""English words as phones, with the stress of each vowel.

The words and their splits are those of `cmudict.py`, which states source and license; words with a
single vowel are left out, as it nearly always has the primary stress. The tokens are the phones of
a word's first pronunciation, the tags say of each vowel whether it has the primary or a secondary
stress or none, and of consonants nothing ("grady": G R EY D IY, O O B-primary O B-unstressed).
Every stress is an entity of one token, so scores of entities are those of vowels.

| split      | words | phones | primary | secondary | unstressed |
|------------|-------|--------|---------|-----------|------------|
| train      | 13767 | 91925  | 13929   | 3773      | 18979      |
| validation | 1774  | 11972  | 1783    | 444       | 2525       |
| test       | 1802  | 12125  | 1817    | 498       | 2523       |

Where the stress is depends on the whole word: on the number of its syllables, on its ending, and on
how heavy the other syllables are. Limits: the spelling and the part of speech, which tells the noun
"record" from the verb, are not among the tokens; the dictionary is not consistent in secondary
stress, and 1 % of the words have several primary ones ("lukewarm").
"""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples, cmudict
from pipelines.datasets.builders.cmudict_syllables import syllables

TAGS = ("O", "B-primary", "B-secondary", "B-unstressed")
_TAG_OF_DIGIT = {"1": "B-primary", "2": "B-secondary", "0": "B-unstressed"}


class CmudictStress(tfds.core.GeneratorBasedBuilder):
    """Phones of words and the stress of their vowels, split by the words' first letters."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "The words and the splits of cmudict 1.0.0."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Phones of English words with the stress of each vowel.",
            features=tfds.features.FeaturesDict(
                {
                    "tokens": tfds.features.Sequence(tfds.features.Text()),
                    "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=TAGS)),
                }
            ),
            supervised_keys=("tokens", "tags"),
            **cmudict.SOURCE,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {
            split: self._generate_examples(words) for split, words in cmudict.by_prefix().items()
        }

    def _generate_examples(self, words: list[cmudict.Entry]) -> Examples:
        stressed = cmudict.with_stress()
        for word in words:
            if syllables(word.phones) > 1:
                yield (
                    word.letters,
                    {"tokens": word.phones.split(), "tags": tags(stressed[word.letters])},
                )


def tags(phones: str) -> list[str]:
    """Returns a tag for each phone of a word, as "G R EY1 D IY0"."""
    return [_TAG_OF_DIGIT.get(phone[-1], "O") for phone in phones.split()]
