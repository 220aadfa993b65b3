"""Near copies: fingerprints of images, and which of them belong together."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.datasets import near_copies


def gradient(levels: np.ndarray) -> np.ndarray:
    """Returns a gray image whose columns have these levels, uint8 [72, 9 * 8, 1]."""
    return np.repeat(np.tile(levels.astype(np.uint8), (72, 1)), 8, axis=1)[..., None]


def test_a_bit_says_whether_a_pixel_is_brighter_than_its_left_neighbor():
    rising, falling = np.arange(0, 90, 10), np.arange(90, 0, -10)
    assert near_copies.fingerprint(gradient(rising))[0] == 2**64 - 1
    assert near_copies.fingerprint(gradient(falling))[0] == 0


@pytest.mark.parametrize("count", [0, 1, 3, 600])
def test_an_image_is_no_copy_of_itself_but_later_ones_are(count):
    hashes = np.full(count, 7, np.uint64)
    thumbnails = np.zeros((count, 256), np.uint8)
    found = near_copies.of_earlier(hashes, thumbnails)
    assert found.tolist() == [False, *[True] * (count - 1)][:count]
    assert near_copies.of_others(hashes, thumbnails, hashes, thumbnails).all()


@pytest.mark.parametrize(("bits", "levels", "alike"), [(4, 4, True), (5, 0, False), (0, 5, False)])
def test_hashes_and_thumbnails_both_have_to_be_close(bits, levels, alike):
    hashes = np.array([0, 2**bits - 1], np.uint64)
    thumbnails = np.stack([np.zeros(256), np.full(256, levels)]).astype(np.uint8)
    assert near_copies.of_earlier(hashes, thumbnails).tolist() == [False, alike]
