"""Makes wordnet_glosses.txt.xz from the Debian package wordnet-base 3.0, unpacked.

    python -m pipelines.datasets.extracts.make_wordnet_glosses UNPACKED_PACKAGE

The extract has 800 glosses of each of ten lexicographer files of nouns: the part before the first
quoted example, with five words or more; at most three hyponyms of a hypernym, sampled by a hash; no
instances (names of people and places); no gloss twice. One line each, LEXICOGRAPHER FILE TAB
HYPERNYM TAB GLOSS, in the order of WordNet.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from pipelines.datasets import extracts, splitting

# Numbers and names of the files, from the manual page lexnames(5WN).
FILES = {
    "04": "act",
    "05": "animal",
    "06": "artifact",
    "07": "attribute",
    "09": "cognition",
    "10": "communication",
    "18": "person",
    "20": "plant",
    "26": "state",
    "27": "substance",
}
PER_FILE, PER_HYPERNYM, MIN_WORDS = 800, 3, 5
LICENSE_LINE = re.compile(r"^  \d+ (.*)", re.MULTILINE)


def main(package: Path, folder: Path = extracts.FOLDER) -> None:
    text = (package / "usr/share/wordnet/data.noun").read_text(encoding="utf-8")
    synsets = [line.partition(" | ") for line in text.splitlines() if not line.startswith("  ")]
    lemmas = {left.split()[0]: left.split()[4] for left, _, _ in synsets}
    found: dict[str, list[tuple[str, str, str]]] = {file: [] for file in FILES.values()}
    for left, _, right in synsets:
        fields, gloss = left.split(), right.partition('; "')[0].strip()
        hypernyms = [fields[i + 1] for i, field in enumerate(fields) if field == "@"]
        usable = len(gloss.split()) >= MIN_WORDS and '"' not in gloss
        if fields[1] in FILES and hypernyms and usable:
            file = FILES[fields[1]]
            found[file].append((file, lemmas[hypernyms[0]], gloss))
    times = Counter(gloss for glosses in found.values() for _, _, gloss in glosses)
    lines = []
    for glosses in found.values():
        chosen = _chosen([gloss for gloss in glosses if times[gloss[2]] == 1])
        lines += ["\t".join(gloss) + "\n" for gloss in glosses if gloss in chosen]
    extracts.write(
        "wordnet_glosses.txt",
        "".join(lines).encode(),
        source="Debian package wordnet-base 1:3.0, usr/share/wordnet/data.noun",
        license=extracts.License(
            "WordNet-3.0",
            "wordnet.txt",
            "".join(line.rstrip() + "\n" for line in LICENSE_LINE.findall(text)),
        ),
        folder=folder,
    )


def _chosen(glosses: list[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    chosen: set[tuple[str, str, str]] = set()
    hyponyms: Counter[str] = Counter()
    for gloss in splitting.shuffled(glosses, key=lambda gloss: gloss[2]):
        if len(chosen) < PER_FILE and hyponyms[gloss[1]] < PER_HYPERNYM:
            hyponyms[gloss[1]] += 1
            chosen.add(gloss)
    return chosen


if __name__ == "__main__":
    main(Path(sys.argv[1]))
