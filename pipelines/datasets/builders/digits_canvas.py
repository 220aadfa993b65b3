"""Handwritten digits scattered over noisy canvases, and which pixel is which digit.

The digits are those of `digits.py`, which states source and licence: every canvas takes its digits
from one of the splits there, so that no hand in train writes in validation or test.

Two to four digits, enlarged to 16x16, lie at random places of 48x48 pixels, their boxes not
overlapping. A pixel is a digit's where the enlarged digit is brighter than `INK`. Every digit is
dimmed by a factor of its own, the ground of every canvas has a grey of its own, and normally
distributed noise lies over all. Seeds are fixed.

| split      | canvases | digits to draw from |
|------------|----------|---------------------|
| train      | 2000     | 1157                |
| validation | 300      | 243                 |
| test       | 400      | 397                 |

About seven pixels of eight are background: report the mean over classes, not the share of right
pixels. Digits recur among the canvases of their split, at other places and under other noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets.builders import digits

CLASS_NAMES = ("background", *"0123456789")
SHAPE = (48, 48, 1)
SIZES = {"train": 2000, "validation": 300, "test": 400}

SIDE = 16  # Of an enlarged digit.
INK = 96  # What is brighter, of 255, is digit.
COUNTS = (2, 4)
DIMMING = (0.5, 1.0)
GROUND = (0, 80)
NOISE = 20  # Standard deviation.


class DigitsCanvas(tfds.core.GeneratorBasedBuilder):
    """Canvases and masks, uint8 [48, 48, 1]; pixels of a mask are indices of `CLASS_NAMES`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Digits of each split by other hands."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Handwritten digits on noisy canvases with a class for every pixel.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=SHAPE, encoding_format="png"),
                    "segmentation_mask": tfds.features.LabeledImage(
                        labels=list(CLASS_NAMES), shape=SHAPE, encoding_format="png"
                    ),
                }
            ),
            supervised_keys=("image", "segmentation_mask"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation="E. Alpaydin and C. Kaynak. Optical Recognition of Handwritten Digits. 1998.",
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # The digits arrive with an installed package.
        return {
            split: self._generate_examples(split, seed) for seed, split in enumerate(digits.SPLITS)
        }

    def _generate_examples(self, split: str, seed: int):
        for index, (image, mask) in enumerate(canvases(split, seed)):
            yield index, {"image": image, "segmentation_mask": mask}


def canvases(split: str, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the canvases of a split: image and mask, uint8 [48, 48, 1] each."""
    from PIL import Image
    from sklearn.datasets import load_digits

    start, stop = digits.SPLITS[split]
    raw = load_digits()
    pixels = np.round(raw.images[start:stop] * (255 / 16)).astype(np.uint8)
    labels = raw.target[start:stop]
    large = [
        Image.fromarray(digit).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for digit in pixels
    ]
    enlarged = np.stack([np.asarray(digit) for digit in large])
    random = np.random.RandomState(seed)  # Its numbers never change, unlike a Generator's.
    for _ in range(SIZES[split]):
        chosen = random.randint(len(labels), size=random.randint(COUNTS[0], COUNTS[1] + 1))
        ground = random.uniform(*GROUND)
        image, mask = np.full(SHAPE[:2], ground), np.zeros(SHAPE[:2], np.uint8)
        for digit, (row, column) in zip(chosen, _places(len(chosen), random), strict=True):
            box = np.s_[row : row + SIDE, column : column + SIDE]
            ink = enlarged[digit] / 255 * random.uniform(*DIMMING)
            image[box] += ink * (255 - ground)
            mask[box] = np.where(enlarged[digit] > INK, labels[digit] + 1, 0)
        image += random.normal(scale=NOISE, size=image.shape)
        yield (
            np.clip(np.round(image), 0, 255).astype(np.uint8)[..., np.newaxis],
            mask[..., np.newaxis],
        )


def _places(count: int, random: np.random.RandomState) -> np.ndarray:
    """Returns the upper left corners, int [count, 2], of boxes that do not overlap."""
    while True:  # Of 64 tries at once, the first that fits.
        tries = random.randint(SHAPE[0] - SIDE + 1, size=(64, count, 2))
        apart = np.abs(tries[:, :, None] - tries[:, None]).max(-1) >= SIDE
        fits = (apart | np.eye(count, dtype=bool)).all((1, 2))
        if fits.any():
            return tries[fits.argmax()]
