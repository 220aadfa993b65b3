"""Sentences of English text, split by rules."""

from __future__ import annotations

import re

# Periods that do not end a sentence: after titles, initials and numbering.
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Messrs|St|Ste|Gen|Col|Capt|Lieut|Maj|Adm|Hon|Gov|Sen|Rep|Prof|No|Nos"
    r"|Sec|Art|Jr|Sr|vs|etc|viz)|\b[A-Z]|\b[ap]\.m)\.$"
)
_END = re.compile(r"""[.!?]["'”’)\]]*\s+(?=["'“‘(\[]*[A-Z0-9$])""")


def split_sentences(text: str) -> list[str]:
    """Splits English text, whose words are one space apart, into sentences.

    Joined by spaces, the sentences are the text.
    """
    sentences, start = [], 0
    for end in _END.finditer(text):
        if not _ABBREVIATION.search(text[start : end.start() + 1]):
            sentences.append(text[start : end.end()].strip())
            start = end.end()
    return [*sentences, text[start:]]
