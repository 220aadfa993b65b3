"""Handwritten digits, from scikit-learn.

The 1,797 images are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin &
Kaynak, UCI Machine Learning Repository, 1998): 32x32 bitmaps reduced to 8x8 with values 0-16,
rescaled here to 0-255. They are in the order of their writers: the block of each writer starts with
the digits 0 to 9 three times. The splits are made of whole blocks:

| split      | images      | writers |
|------------|-------------|---------|
| train      | 0 … 1156    | nine |
| validation | 1157 … 1399 | two, none of them in train |
| test       | 1400 … 1796 | four, none of them in train |

Test is the last 397 images, as usual for these data. One writer is in two splits: 15 of their
images are in test, the other 113 in validation.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples

BOUNDS = {"train": (0, 1157), "validation": (1157, 1400), "test": (1400, 1797)}


class Digits(tfds.core.GeneratorBasedBuilder):
    """8x8 handwritten digits, uint8 0-255, split by writer."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split by writer; values rescaled from 0-16 to 0-255."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Handwritten digits 0-9, 8x8 pixels, split by writer.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation="E. Alpaydin and C. Kaynak. Optical Recognition of Handwritten Digits. 1998.",
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(*bounds) for split, bounds in BOUNDS.items()}

    def _generate_examples(self, start: int, stop: int) -> Examples:
        images, labels = read(start, stop)
        for index, image, label in zip(range(start, stop), images, labels, strict=True):
            yield index, {"image": image[..., np.newaxis], "label": int(label)}


def read(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a range of the images, uint8 [images, 8, 8], and their labels, int [images]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images[start:stop] * (255 / 16)).astype(np.uint8)
    return images, digits.target[start:stop]
