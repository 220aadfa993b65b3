"""State of the Union addresses as documents of sentences, needing no network.

The speeches are those of `sotu.py`, which states source, licence, splits and sizes: 84 speeches to
learn from, 17 to choose by and 17 to report. The era of a speech is a label to probe with; no
speech that `sotu_era` or `sotu_cloze` reports is among those to learn from.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets.builders import sotu


class SotuSentences(tfds.core.GeneratorBasedBuilder):
    """One example per speech: its title, year and era, and its sentences in their order."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "118 speeches, split as whole ones."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="State of the Union addresses, sentence by sentence.",
            features=tfds.features.FeaturesDict(
                {
                    "title": tfds.features.Text(),
                    "year": np.int32,
                    "era": tfds.features.ClassLabel(names=list(sotu.ERAS)),
                    "sentences": tfds.features.Sequence(tfds.features.Text()),
                }
            ),
            homepage="https://github.com/stdlib-js/datasets",
            license="CC0-1.0 AND PDDL-1.0",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # The speeches arrive with this package.
        return {split: self._generate_examples(split) for split in ("train", "validation", "test")}

    def _generate_examples(self, split: str):
        # Keys are numbers where the order is to be kept.
        for number, speech in enumerate(sotu.speeches(split)):
            yield (
                number,
                {
                    "title": f"{speech.president}, {speech.year}",
                    "year": speech.year,
                    "era": speech.era,
                    "sentences": speech.sentences(),
                },
            )
