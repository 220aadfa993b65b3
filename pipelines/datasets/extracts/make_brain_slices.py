"""Makes brain_slices.npy.xz from the Debian package mricron-data 1.2.20211006, unpacked.

    python -m pipelines.datasets.extracts.make_brain_slices UNPACKED_PACKAGE

An array, uint8 [2, slices, 91, 109], in NumPy's format: the axial slices with more than 2 % brain
of `ch2.nii.gz`, from the feet up, every second pixel; and their masks, 1 where `ch2bet.nii.gz`, the
same volume with all but the brain erased, is not 0.
"""

from __future__ import annotations

import gzip
import io
import struct
import sys
from pathlib import Path

import numpy as np

from pipelines.datasets import extracts

BRAIN = 0.02


def main(package: Path, folder: Path = extracts.FOLDER) -> None:
    templates = package / "usr" / "share" / "mricron" / "templates"
    head, brain = (volume(templates / f"{name}.nii.gz") for name in ("ch2", "ch2bet"))
    mask = (brain > 0).astype(np.uint8)
    chosen = mask.mean((1, 2)) > BRAIN
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(np.stack([head, mask])[:, chosen, ::2, ::2]))
    notice = (package / "usr/share/doc/mricron-data/copyright").read_text(encoding="utf-8")
    files = notice[notice.index("Files: *\n") :].partition("\n\n")[0]
    terms = notice[notice.rindex("License: BSD-3-clause\n") :]
    extracts.write(
        "brain_slices.npy",
        content.getvalue(),
        source="Debian package mricron-data 1.2.20211006+dfsg-4, templates ch2 and ch2bet",
        license=extracts.License("BSD-3-Clause", "mricron.txt", f"{files}\n\n{terms}"),
        folder=folder,
    )


def volume(file: Path) -> np.ndarray:
    """Returns a NIfTI-1 volume of unsigned bytes as uint8 [z, x, y].

    Raises:
        ValueError: The volume is of another type.
    """
    content = gzip.decompress(file.read_bytes())
    rank, *shape = struct.unpack_from("<4h", content, 40)
    (data_type,) = struct.unpack_from("<h", content, 70)
    if (rank, data_type) != (3, 2):
        raise ValueError(f"{file} is not a volume of unsigned bytes")
    (start,) = struct.unpack_from("<f", content, 108)
    voxels = np.frombuffer(content, np.uint8, int(np.prod(shape)), int(start))
    return voxels.reshape(shape, order="F").transpose(2, 0, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
