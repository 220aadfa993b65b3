"""State of the Union addresses as running text: whole speeches.

The speeches are those of `sotu.py`, which states source and license, and how they are split:

| split      | speeches | words  | characters |
|------------|----------|--------|------------|
| train      | 84       | 447816 | 2677819    |
| validation | 17       | 79542  | 472070     |
| test       | 17       | 100710 | 604740     |

A speech is in one split; a president, with typical phrases, may be in several. The language is
formal and covers two centuries with few documents.
"""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples, sotu
from pipelines.datasets.splitting import SPLITS


class SotuText(tfds.core.GeneratorBasedBuilder):
    """Whole speeches, in the order of the years."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Whole speeches, split by speech."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="State of the Union addresses as running text.",
            features=tfds.features.FeaturesDict(
                {"title": tfds.features.Text(), "text": tfds.features.Text()}
            ),
            disable_shuffling=True,
            homepage="https://github.com/stdlib-js/datasets",
            license="CC0-1.0 AND PDDL-1.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(sotu.speeches(split)) for split in SPLITS}

    def _generate_examples(self, speeches: list[sotu.Speech]) -> Examples:
        for number, speech in enumerate(speeches):
            title = f"{speech.president}, {speech.year}"
            yield number, {"title": title, "text": speech.text}
