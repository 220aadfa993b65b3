"""State of the Union addresses as documents of sentences.

The speeches are those of `sotu.py`, which states source, license, splits and sizes: 84 speeches in
train, 17 in validation and 17 in test. The era of a speech is a label for probing. The training
split has no speech of the test splits of `sotu_era` and `sotu_cloze`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples, sotu
from pipelines.datasets.splitting import SPLITS


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

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Examples:
        # Integer keys keep the order.
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
