"""Images that look alike: scaled, recompressed or slightly changed copies.

They have nearly the same difference hash (dHash): whether each pixel of a 9x8 thumbnail is brighter
than its left neighbor. Images of little contrast have few such bits for sure, so their thumbnails
are compared, too.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

_MAX_BITS = 4  # Of 64, in which the hashes of near copies may differ.
_MAX_LEVELS = 4.0  # Mean difference of their thumbnails, of 255.
_AT_ONCE = 256  # Thumbnails that are compared with one at once.
_CHUNK = 64  # Images that are compared with all others at once.


def fingerprint(image: np.ndarray) -> tuple[int, np.ndarray]:
    """Returns what images are compared by.

    Args:
        image: uint8 [height, width, channels].

    Returns:
        The difference hash, of 64 bits, and gray levels of a thumbnail, uint8 [256].
    """
    gray = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image[..., :3]).convert("L")
    small = np.asarray(gray.resize((9, 8), Image.Resampling.BOX), int)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    thumbnail = np.asarray(gray.resize((16, 16), Image.Resampling.BOX))
    return int(np.packbits(bits).view(">u8")[0]), thumbnail.ravel()


def of_earlier(hashes: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Returns bool [images], whether an image is nearly one before it.

    Args:
        hashes: uint64 [images].
        thumbnails: uint8 [images, 256].
    """
    return _alike(hashes, thumbnails, hashes, thumbnails, earlier=True)


def of_others(
    hashes: np.ndarray, thumbnails: np.ndarray, others: np.ndarray, other_thumbnails: np.ndarray
) -> np.ndarray:
    """Returns bool [images], whether an image is nearly one of the others."""
    return _alike(hashes, thumbnails, others, other_thumbnails, earlier=False)


def _alike(
    hashes: np.ndarray,
    thumbnails: np.ndarray,
    others: np.ndarray,
    other_thumbnails: np.ndarray,
    *,
    earlier: bool,
) -> np.ndarray:
    found = np.zeros(len(hashes), bool)
    levels, other_levels = thumbnails.mean(1), other_thumbnails.mean(1)
    for start in range(0, len(hashes), _CHUNK):
        close = np.bitwise_count(hashes[start : start + _CHUNK, None] ^ others) <= _MAX_BITS
        if earlier:
            close &= np.arange(len(others)) < start + np.arange(len(close))[:, None]
        for row in start + np.flatnonzero(close.any(1)):
            candidates = np.flatnonzero(close[row - start])
            # The means of thumbnails differ by no more than their levels do.
            candidates = candidates[np.abs(other_levels[candidates] - levels[row]) <= _MAX_LEVELS]
            for first in range(0, len(candidates), _AT_ONCE):
                alike = other_thumbnails[candidates[first : first + _AT_ONCE]]
                difference = np.abs(alike - thumbnails[row].astype(np.int16)).mean(1)
                if difference.min() <= _MAX_LEVELS:
                    found[row] = True
                    break
    return found
