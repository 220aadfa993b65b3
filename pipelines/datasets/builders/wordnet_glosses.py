"""Glosses of English nouns, with the category of the noun.

Source: WordNet 3.0 as in the Debian package wordnet-base (WordNet License), as an extract. The
label is the synset's lexicographer file, often called its supersense. Ten files have 800 glosses
each, of five words or more, without quoted examples, without instances (names of people and
places), and of at most three synsets with the same first hypernym.

Glosses of siblings are similar ("a variety of aster …"). All synsets of a file whose first hypernym
has the same first word are therefore in one split, and no two glosses are equal without case,
digits and punctuation:

| split      | glosses |
|------------|---------|
| train      | 5603    |
| validation | 1200    |
| test       | 1197    |

Limits: a synset and its own hypernym may be in different splits, and so may cousins. Some files
are similar (`cognition` and `communication`), and many glosses fit both.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import tensorflow_datasets as tfds

from pipelines.datasets import extracts, splitting
from pipelines.datasets.builders import Examples

CLASS_NAMES = (
    *("act", "animal", "artifact", "attribute", "cognition"),
    *("communication", "person", "plant", "state", "substance"),
)
FRACTIONS = {"train": 0.70, "validation": 0.15, "test": 0.15}


class Gloss(NamedTuple):
    """A gloss, its lexicographer file, and the first word of its first hypernym."""

    file: str
    hypernym: str
    text: str


class WordnetGlosses(tfds.core.GeneratorBasedBuilder):
    """Glosses in ten balanced classes, split by hypernym."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Balanced; hyponyms of one hypernym in one split."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Glosses of English nouns, labeled by lexicographer file.",
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                }
            ),
            supervised_keys=("text", "label"),
            homepage="https://wordnet.princeton.edu",
            citation="C. Fellbaum (ed.). WordNet: An Electronic Lexical Database. 1998.",
            license="WordNet-3.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(found) for split, found in by_hypernym().items()}

    def _generate_examples(self, glosses: list[Gloss]) -> Examples:
        for gloss in glosses:
            yield gloss.text, {"text": gloss.text, "label": gloss.file}


def by_hypernym() -> dict[str, list[Gloss]]:
    """Returns the glosses of each split; classes are balanced to within one group."""
    found: dict[str, list[Gloss]] = {split: [] for split in FRACTIONS}
    unique: dict[str, Gloss] = {}
    for gloss in (Gloss(*row) for row in extracts.read_rows("wordnet_glosses.txt")):
        unique.setdefault(splitting.normalize(gloss.text), gloss)
    for name in CLASS_NAMES:
        glosses = [gloss for gloss in unique.values() if gloss.file == name]
        splits = splitting.by_group(
            glosses, lambda gloss: f"{gloss.file} {gloss.hypernym}", FRACTIONS
        )
        for split, members in splits.items():
            found[split].extend(members)
    return found
