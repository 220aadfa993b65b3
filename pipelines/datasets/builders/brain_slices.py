"""Axial slices of a T1-weighted MRI of a head, with a mask of the brain.

Source: the templates `ch2` and `ch2bet` of the Debian package mricron-data 1.2.20211006 (BSD
3-Clause): the Colin 27 average of 27 scans of one head (Holmes et al., 1998) at 1 mm, and the same
with all but the brain erased. The extract has the 140 axial slices with more than 2 % brain, every
second pixel, 91x109, padded here with zeros to 96x112. Rows go from left to right of the head,
columns from back to front, slices from the feet up.

Neighboring slices are similar. They are split in blocks of 10, and the 2 slices between two blocks
are removed:

| split      | slices | blocks                                |
|------------|--------|---------------------------------------|
| train      | 78     | seven of 10 and, at the top, one of 8 |
| validation | 20     | two                                   |
| test       | 20     | two                                   |

Limits: it is one subject, so a good score says nothing about other heads, and slices 3 mm apart are
still similar. The mask was made by a tool (BET, as its name says), not drawn by hand.
"""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets import extracts
from pipelines.datasets.builders import Examples, segmentation_features
from pipelines.datasets.splitting import SPLITS

CLASS_NAMES = ("background", "brain")
SHAPE = (96, 112, 1)

BLOCK, GAP = 10, 2
# The splits of five blocks in a row, over and over.
_CYCLE = ("train", "train", "validation", "train", "test")


class BrainSlices(tfds.core.GeneratorBasedBuilder):
    """Slices and masks, uint8 [96, 112, 1]; pixels of a mask are indices of `CLASS_NAMES`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split by blocks of 10 slices, 2 between them left out."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Axial MRI slices of one head with brain masks, 96x112 pixels.",
            features=segmentation_features(SHAPE, CLASS_NAMES),
            supervised_keys=("image", "segmentation_mask"),
            homepage="https://github.com/neurolabusc/MRIcron",
            citation=(
                "C. J. Holmes et al. Enhancement of MR images using registration for signal "
                "averaging. Journal of Computer Assisted Tomography 22(2), 1998."
            ),
            license="BSD-3-Clause",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        heads, masks = np.load(io.BytesIO(extracts.read("brain_slices.npy")))
        return {
            split: self._generate_examples(heads, masks, slices_of(split, len(heads)))
            for split in SPLITS
        }

    def _generate_examples(
        self, heads: np.ndarray, masks: np.ndarray, slices: list[int]
    ) -> Examples:
        for index in slices:
            yield index, {"image": _pad(heads[index]), "segmentation_mask": _pad(masks[index])}


def slices_of(split: str, count: int) -> list[int]:
    """Returns the indices, of `count` slices, that are in `split`."""
    return [
        index
        for index in range(count)
        if index % (BLOCK + GAP) < BLOCK and _CYCLE[index // (BLOCK + GAP) % len(_CYCLE)] == split
    ]


def _pad(pixels: np.ndarray) -> np.ndarray:
    """Centers uint8 [height, width] in zeros, uint8 [96, 112, 1]."""
    margins = [size - length for size, length in zip(SHAPE, pixels.shape, strict=False)]
    padding = [(margin // 2, margin - margin // 2) for margin in margins]
    return np.pad(pixels, padding)[..., np.newaxis]
