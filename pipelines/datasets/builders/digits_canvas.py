"""Handwritten digits on noisy canvases, with the class of each pixel.

The digits are those of `digits.py`, which states source and license. A canvas has digits of one
split there, so that the writers in train are in no other split.

Two to four digits, enlarged to 16x16, are at random positions of 48x48 pixels, and their boxes do
not overlap. A pixel is of a digit's class where the enlarged digit is brighter than `INK`. Each
digit has a random brightness, each background a random gray, and normally distributed noise is
added. Seeds are fixed.

| split      | canvases | digits to sample from |
|------------|----------|-----------------------|
| train      | 2000     | 1157                  |
| validation | 300      | 243                   |
| test       | 400      | 397                   |

About seven pixels of eight are background: report means over classes, not pixel accuracy. The
canvases of a split repeat its digits, at other positions and with other noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples, digits, segmentation_features

CLASS_NAMES = ("background", *"0123456789")
SHAPE = (48, 48, 1)
SIZES = {"train": 2000, "validation": 300, "test": 400}

SIDE = 16  # Of an enlarged digit.
INK = 96  # Pixels brighter than this, of 255, are of the digit's class.
COUNTS = (2, 4)
BRIGHTNESS = (0.5, 1.0)
BACKGROUND = (0, 80)
NOISE = 20  # Standard deviation.


class DigitsCanvas(tfds.core.GeneratorBasedBuilder):
    """Canvases and masks, uint8 [48, 48, 1]; pixels of a mask are indices of `CLASS_NAMES`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Digits of each split by other hands."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Handwritten digits on noisy canvases with a class for every pixel.",
            features=segmentation_features(SHAPE, CLASS_NAMES),
            supervised_keys=("image", "segmentation_mask"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation="E. Alpaydin and C. Kaynak. Optical Recognition of Handwritten Digits. 1998.",
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {
            split: self._generate_examples(split, seed) for seed, split in enumerate(digits.BOUNDS)
        }

    def _generate_examples(self, split: str, seed: int) -> Examples:
        for index, (image, mask) in enumerate(canvases(split, seed)):
            yield index, {"image": image, "segmentation_mask": mask}


def canvases(split: str, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the canvases of a split: image and mask, uint8 [48, 48, 1] each."""
    from PIL import Image

    pixels, labels = digits.read(*digits.BOUNDS[split])
    large = [
        Image.fromarray(digit).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for digit in pixels
    ]
    enlarged = np.stack([np.asarray(digit) for digit in large])
    random = np.random.RandomState(seed)  # Its stream never changes, unlike a Generator's.
    for _ in range(SIZES[split]):
        chosen = random.randint(len(labels), size=random.randint(COUNTS[0], COUNTS[1] + 1))
        background = random.uniform(*BACKGROUND)
        image, mask = np.full(SHAPE[:2], background), np.zeros(SHAPE[:2], np.uint8)
        for digit, (row, column) in zip(chosen, _positions(len(chosen), random), strict=True):
            box = np.s_[row : row + SIDE, column : column + SIDE]
            ink = enlarged[digit] / 255 * random.uniform(*BRIGHTNESS)
            image[box] += ink * (255 - background)
            mask[box] = np.where(enlarged[digit] > INK, labels[digit] + 1, 0)
        image += random.normal(scale=NOISE, size=image.shape)
        yield (
            np.clip(np.round(image), 0, 255).astype(np.uint8)[..., np.newaxis],
            mask[..., np.newaxis],
        )


def _positions(count: int, random: np.random.RandomState) -> np.ndarray:
    """Returns the upper left corners, int [count, 2], of boxes that do not overlap."""
    while True:  # Takes the first of 64 samples that fits.
        samples = random.randint(SHAPE[0] - SIDE + 1, size=(64, count, 2))
        apart = np.abs(samples[:, :, None] - samples[:, None]).max(-1) >= SIDE
        fits = (apart | np.eye(count, dtype=bool)).all((1, 2))
        if fits.any():
            return samples[fits.argmax()]
