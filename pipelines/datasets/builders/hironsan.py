"""Named entities in Japanese news, from an optional package.

Source: hironsancorpus 0.1.2 (MIT License), 500 sentences of news of 2005, cut into morphemes and
tagged by its author in the scheme IOB2, with eight types of entity: ART(ifact), DAT(e), LOC(ation),
MON(ey), ORG(anization), PER(cent), PSN (person), TIM(e). This project does not
require the package: `pip install hironsancorpus==0.1.2`. The prepared data set does not need it.

The test split is the corpus' own; validation is the end of its train split:

| split      | sentences | tokens |
|------------|-----------|--------|
| train      | 400       | 12580  |
| validation | 50        | 1776   |
| test       | 50        | 1164   |

Two I- tags that continue no entity are B- here. Limits: sentences are in the order of their
articles, and two articles are in two splits each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples
from pipelines.errors import UserError

ENTITIES = ("ART", "DAT", "LOC", "MON", "ORG", "PER", "PSN", "TIM")
TAGS = ("O", *(f"{prefix}-{entity}" for entity in ENTITIES for prefix in "BI"))
VALIDATION = 50  # Sentences.


class Hironsan(tfds.core.GeneratorBasedBuilder):
    """Morphemes of Japanese sentences and their tags in the scheme IOB2."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "The corpus' own test split; validation from its train."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Named entities in Japanese news, eight types, in the scheme IOB2.",
            features=tfds.features.FeaturesDict(
                {
                    "tokens": tfds.features.Sequence(tfds.features.Text()),
                    "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=list(TAGS))),
                }
            ),
            supervised_keys=("tokens", "tags"),
            homepage="https://github.com/Hironsan/hironsan_corpus",
            license="MIT",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        try:
            from hironsan.corpus import hiron2016
        except ImportError as error:
            raise UserError(
                "hironsan needs the package hironsancorpus: pip install hironsancorpus==0.1.2"
            ) from error
        train, test = hiron2016.iob_sents("train"), hiron2016.iob_sents("test")
        return {
            "train": self._generate_examples(train[:-VALIDATION]),
            "validation": self._generate_examples(train[-VALIDATION:]),
            "test": self._generate_examples(test),
        }

    def _generate_examples(self, sentences: Sequence[Sequence[Sequence[str]]]) -> Examples:
        for index, sentence in enumerate(sentences):
            tags = fix_iob2([fields[-1] for fields in sentence])
            yield index, {"tokens": [fields[0] for fields in sentence], "tags": tags}


def fix_iob2(tags: list[str]) -> list[str]:
    """Returns IOB2 tags in which every I- continues an entity of its type; others become B-."""
    fixed = ["O"]
    for tag in tags:
        continues = fixed[-1][2:] == tag[2:]
        fixed.append(tag if continues or not tag.startswith("I-") else f"B-{tag[2:]}")
    return fixed[1:]
