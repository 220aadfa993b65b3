"""Handwritten digits on canvases, with captions that say what stands where.

The digits are those of `digits.py`, which states source and license. A scene has digits of one
split there, so that the writers in train are in no other split.

A scene is two groups of one to three equal digits: one group above the other, where digits of a
group stand side by side, or one left of the other, where they stand below each other. The captions
follow from how the scene is made, so they are true by construction. Each scene has three, in the
order in which one reads, as a row of a 7 above a row of two 3s:

    a 7 above two 3s
    a 7 with two 3s below it
    a 7 and below it two 3s

Digits are enlarged to 14x14 pixels of a canvas of 48x48, each with a random brightness and moved a
little, on a background of random gray with normally distributed noise. Seeds are fixed.

| split      | scenes | digits to sample from | whose captions occur in train |
|------------|--------|-----------------------|-------------------------------|
| train      | 4000   | 1157                  |                               |
| validation | 400    | 243                   | 91 %                          |
| test       | 400    | 397                   | 91 %                          |

Limits: there are 1,620 different contents, in a language of 35 words. Who describes these scenes
well has read, counted and located digits, and knows nothing of photographs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples, digits

SHAPE = (48, 48, 1)
SIZES = {"train": 4000, "validation": 400, "test": 400}

SIDE = 14  # Of an enlarged digit.
COUNTS = (1, 3)
JITTER = 1  # Pixels by which a digit is moved from its place in the group, in each direction.
BRIGHTNESS = (0.6, 1.0)
BACKGROUND = (0, 60)
NOISE = 12  # Standard deviation.

_NUMBERS = ("", "a", "two", "three")


@dataclass(frozen=True)
class Group:
    """Equal digits that stand in a row or a column.

    Attributes:
        digit: 0 to 9.
        count: How many there are, 1 to 3.
    """

    digit: int
    count: int

    def __str__(self) -> str:
        if self.count > 1:
            return f"{_NUMBERS[self.count]} {self.digit}s"
        return f"{'an' if self.digit == 8 else 'a'} {self.digit}"


@dataclass(frozen=True)
class Scene:
    """What a canvas shows.

    Attributes:
        first: The upper group, or the left one.
        second: The lower group, or the right one; of another digit.
        vertical: Whether one group is above the other.
    """

    first: Group
    second: Group
    vertical: bool

    def captions(self) -> list[str]:
        """Returns everything that is said about the scene."""
        first, second = str(self.first), str(self.second)
        it = "it" if self.first.count == 1 else "them"
        relation = "above" if self.vertical else "left of"
        place = f"below {it}" if self.vertical else f"to the right of {it}"
        return [
            f"{first} {relation} {second}",
            f"{first} with {second} {place}",
            f"{first} and {place} {second}",
        ]


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """Canvases, uint8 [48, 48, 1], with three captions each, strings [3]."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Two groups of digits, by other hands in each split."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Handwritten digits on canvases with captions that say what stands where.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=SHAPE, encoding_format="png"),
                    "captions": tfds.features.Sequence(tfds.features.Text()),
                }
            ),
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
        for index, (image, scene) in enumerate(scenes(split, seed)):
            yield index, {"image": image, "captions": scene.captions()}


def scenes(split: str, seed: int) -> Iterator[tuple[np.ndarray, Scene]]:
    """Yields the scenes of a split, each with its canvas, uint8 [48, 48, 1]."""
    from PIL import Image

    pixels, labels = digits.read(*digits.BOUNDS[split])
    large = [
        Image.fromarray(digit).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for digit in pixels
    ]
    enlarged = np.stack([np.asarray(digit) for digit in large]) / 255
    by_digit = [enlarged[labels == digit] for digit in range(10)]
    random = np.random.RandomState(seed)  # Its stream never changes, unlike a Generator's.
    for _ in range(SIZES[split]):
        one, other = random.permutation(10)[:2].tolist()
        counts = random.randint(COUNTS[0], COUNTS[1] + 1, size=2).tolist()
        scene = Scene(Group(one, counts[0]), Group(other, counts[1]), bool(random.randint(2)))
        background = random.uniform(*BACKGROUND)
        image = np.full(SHAPE[:2], background)
        for group, places in zip((scene.first, scene.second), _places(scene, random), strict=True):
            for row, column in places:
                written = by_digit[group.digit][random.randint(len(by_digit[group.digit]))]
                ink = written * random.uniform(*BRIGHTNESS)
                image[row : row + SIDE, column : column + SIDE] += ink * (255 - background)
        image += random.normal(scale=NOISE, size=image.shape)
        yield np.clip(np.round(image), 0, 255).astype(np.uint8)[..., np.newaxis], scene


def _places(scene: Scene, random: np.random.RandomState) -> list[np.ndarray]:
    """Returns the upper left corners of each group's digits, int [count, 2]; none overlap.

    The middle of a group is twice as far from the other's across the groups as along them, so that
    nobody would say "left of" for "above".
    """
    box = SIDE + 2 * JITTER  # Of a digit with what it may be moved by.
    counts = scene.first.count, scene.second.count
    while True:
        across = np.sort(random.randint(SHAPE[0] - box + 1, size=2))
        along = [random.randint(SHAPE[0] - count * box + 1) for count in counts]
        middles = [start + count * box / 2 for start, count in zip(along, counts, strict=True)]
        apart = across[1] - across[0]
        if apart >= box and apart >= 2 * abs(middles[1] - middles[0]):
            break
    found = []
    for count, line, start in zip(counts, across, along, strict=True):
        corners = np.stack([np.full(count, line), start + box * np.arange(count)], -1) + JITTER
        corners += random.randint(-JITTER, JITTER + 1, size=corners.shape)
        found.append(corners if scene.vertical else corners[:, ::-1])
    return found
