"""Data sets in packages of the operating system, in the form that TFDS expects.

Debian's `dataset-fashion-mnist` has the files of Fashion-MNIST (Xiao, Rasul & Vollgraf 2017, MIT),
compressed by its authors, but without the name and the time in the header of each gzip file (RFC
1952, section 2.3). With name and time restored, the files are the authors' to the byte and match
the checksums of TFDS.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_HAS_NAME = 0x08


@dataclass(frozen=True)
class SystemFiles:
    """Files of a system package.

    Attributes:
        folder: Folder of the package.
        times: By the file's name, time of the compression of the original, in seconds since 1970.
    """

    folder: Path
    times: dict[str, int]

    def exist(self) -> bool:
        """Returns whether the package is installed."""
        return all((self.folder / name).exists() for name in self.times)

    @contextmanager
    def restored(self) -> Iterator[Path]:
        """Yields a temporary folder with the original files."""
        with tempfile.TemporaryDirectory() as scratch:
            for name, time in self.times.items():
                original = with_header((self.folder / name).read_bytes(), name, time)
                Path(scratch, name).write_bytes(original)
            yield Path(scratch)


def with_header(compressed: bytes, name: str, time: int) -> bytes:
    """Returns a gzip file with name, without the suffix, and time in its header."""
    magic, flags, _, rest = struct.unpack("<3sBI2s", compressed[:10])
    if flags:
        return compressed
    header = struct.pack("<3sBI2s", magic, flags | _HAS_NAME, time, rest)
    return header + name.removesuffix(".gz").encode("latin-1") + b"\0" + compressed[10:]


SYSTEM = {
    "fashion_mnist": SystemFiles(
        Path("/usr/share/datasets/fashion-mnist"),
        {
            "train-images-idx3-ubyte.gz": 1504176606,
            "train-labels-idx1-ubyte.gz": 1504176606,
            "t10k-images-idx3-ubyte.gz": 1504176627,
            "t10k-labels-idx1-ubyte.gz": 1504176627,
        },
    )
}
