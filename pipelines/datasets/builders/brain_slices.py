"""Axial slices of a T1-weighted MRI of a head, and which pixels are brain; needs no network.

Source: the templates `ch2` and `ch2bet` of the Debian package mricron-data 1.2.20211006 (BSD
3-Clause): the Colin 27 average of 27 scans of one head (Holmes et al., 1998) at 1 mm, and the same
with all but the brain erased. An extract lies in `extracts/`: the 140 axial slices with more than
2 % brain, every second pixel, 91x109, padded here with zeros to 96x112. Rows go from left to right
of the head, columns from back to front, slices from the feet up.

Neighbouring slices look alike. They are dealt out in blocks of 10, and 2 slices between two blocks
are left out:

| split      | slices | blocks                                |
|------------|--------|---------------------------------------|
| train      | 78     | seven of 10 and, at the top, one of 8 |
| validation | 20     | two                                   |
| test       | 20     | two                                   |

Limits: it is one subject, so a good score says nothing about other heads, and slices 3 mm apart are
still alike. The mask was made by a tool (BET, as its name says), not drawn by hand.
"""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets import extracts

CLASS_NAMES = ("background", "brain")
SHAPE = (96, 112, 1)

BLOCK, GAP = 10, 2
# The split of each block; the first is again the turn of the sixth.
_TURNS = ("train", "train", "validation", "train", "test")


class BrainSlices(tfds.core.GeneratorBasedBuilder):
    """Slices and masks, uint8 [96, 112, 1]; pixels of a mask are indices of `CLASS_NAMES`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split by blocks of 10 slices, 2 between them left out."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Axial MRI slices of one head with brain masks, 96x112 pixels.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=SHAPE, encoding_format="png"),
                    "segmentation_mask": tfds.features.LabeledImage(
                        labels=list(CLASS_NAMES), shape=SHAPE, encoding_format="png"
                    ),
                }
            ),
            supervised_keys=("image", "segmentation_mask"),
            homepage="https://github.com/neurolabusc/MRIcron",
            citation=(
                "C. J. Holmes et al. Enhancement of MR images using registration for signal "
                "averaging. Journal of Computer Assisted Tomography 22(2), 1998."
            ),
            license="BSD-3-Clause",
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # The slices arrive with this package.
        heads, masks = np.load(io.BytesIO(extracts.read("brain_slices.npy")))
        return {
            split: self._generate_examples(heads, masks, slices_of(split, len(heads)))
            for split in ("train", "validation", "test")
        }

    def _generate_examples(self, heads: np.ndarray, masks: np.ndarray, slices: list[int]):
        for index in slices:
            yield index, {"image": _pad(heads[index]), "segmentation_mask": _pad(masks[index])}


def slices_of(split: str, count: int) -> list[int]:
    """Returns which of `count` slices, numbered from 0, are in `split`."""
    return [
        index
        for index in range(count)
        if index % (BLOCK + GAP) < BLOCK and _TURNS[index // (BLOCK + GAP) % len(_TURNS)] == split
    ]


def _pad(pixels: np.ndarray) -> np.ndarray:
    """Centres uint8 [height, width] in zeros, uint8 [96, 112, 1]."""
    margins = [(size - had, had) for size, had in zip(SHAPE, pixels.shape, strict=False)]
    padding = [(margin // 2, margin - margin // 2) for margin, _ in margins]
    return np.pad(pixels, padding)[..., np.newaxis]
