"""Glosses of English nouns and the kind of thing they define, needing no network.

Source: WordNet 3.0 as in the Debian package wordnet-base (WordNet License); an extract lies in
`extracts/`. The label is the synset's lexicographer file, often called its supersense. Ten files
have 800 glosses each: without the quoted examples, of five words or more, no instances (people and
places by name), at most three synsets with the same first hypernym.

Glosses of siblings copy each other ("a variety of aster …"). All synsets of a file whose first
hypernym has the same first word are therefore in one split, and no two glosses are equal apart from
case, digits and punctuation:

| split      | glosses |
|------------|---------|
| train      | 5603    |
| validation | 1200    |
| test       | 1197    |

Limits: a synset and its own hypernym may be in different splits, and so may cousins. A few files
are near to each other (`cognition` and `communication`), and many a gloss fits both.
"""

from __future__ import annotations

import re
from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets import extracts, splitting

CLASS_NAMES = (
    *("act", "animal", "artifact", "attribute", "cognition"),
    *("communication", "person", "plant", "state", "substance"),
)
SHARES = {"train": 0.70, "validation": 0.15, "test": 0.15}

# File, first word of the first hypernym, gloss.
Gloss = tuple[str, str, str]


class WordnetGlosses(tfds.core.GeneratorBasedBuilder):
    """Glosses in ten balanced classes, split by hypernym."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Balanced; hyponyms of one hypernym in one split."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Glosses of English nouns, labelled by lexicographer file.",
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

    def _split_generators(self, dl_manager):
        del dl_manager  # The glosses arrive with this package.
        return {split: self._generate_examples(found) for split, found in by_hypernym().items()}

    def _generate_examples(self, glosses: list[Gloss]):
        for file, _, text in glosses:
            yield text, {"text": text, "label": file}


def by_hypernym() -> dict[str, list[Gloss]]:
    """Returns the glosses of each split, as many of each class as whole families allow."""
    found: dict[str, list[Gloss]] = {split: [] for split in SHARES}
    unique: dict[str, Gloss] = {}
    for line in extracts.read("wordnet_glosses.txt").decode().splitlines():
        file, hypernym, text = line.split("\t")
        unique.setdefault(letters(text), (file, hypernym, text))
    for name in CLASS_NAMES:
        glosses = [gloss for gloss in unique.values() if gloss[0] == name]
        split = splitting.by_group(glosses, lambda gloss: f"{gloss[0]} {gloss[1]}", SHARES)
        for key, members in split.items():
            found[key].extend(members)
    return found


def letters(text: str) -> str:
    """Returns what glosses that are near copies of each other have in common."""
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))
