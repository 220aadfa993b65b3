"""Schemes of tags that make out spans: BIO, and those that are turned into it.

All write a tag as PREFIX-TYPE, or O outside all spans. BIO: B- opens a span and I- continues it.
IOB1 (Ramshaw & Marcus 1995): I- opens one, too, and B- only right behind another of its type.
BIOES and BILOU: the last word of a span has E- or L-, a span of one word S- or U-. Some write M-
for I- and W- for S-.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

OUTSIDE = "O"
BIO, IOB1 = "BIO", "IOB1"
_TAG = re.compile(r"([BIMELSUW])-(.+)")
_OPENS, _CLOSES = frozenset("BSUW"), frozenset("ELSUW")


def is_tag(tag: str) -> bool:
    """Returns whether a tag belongs to any scheme."""
    return tag == OUTSIDE or bool(_TAG.fullmatch(tag))


def type_of(tag: str) -> str:
    """Returns the type of a tag, "" for O."""
    return tag.partition("-")[2]


def recognize(texts: Iterable[Sequence[str]]) -> str:
    """Returns the scheme of a whole data set: "BIO", "IOB1", "BIOES", "BILOU" or its prefixes.

    Args:
        texts: The tags of each text, all of which pass `is_tag`.
    """
    prefixes, stray, behind = set[str](), False, False
    for tags in texts:
        prefixes.update(tag[0] for tag in tags if tag != OUTSIDE)
        for before, tag in zip([OUTSIDE, *tags], tags, strict=False):
            same = type_of(before) == type_of(tag)
            stray |= tag[0] == "I" and not same
            behind |= tag[0] == "B" and not same
    if ends := prefixes - set("BI"):
        if ends <= set("ES"):
            return "BIOES"
        return "BILOU" if ends <= set("LU") else "".join(p for p in "BIMELSUW" if p in prefixes)
    # In BIO no I- opens a span, in IOB1 no B- does so unless behind a span of its type.
    return IOB1 if stray and not behind else BIO


def fault(tags: Sequence[str], scheme: str) -> tuple[int, str] | None:
    """Returns the first tag that continues a span which is not there, and what is wrong with it.

    Args:
        tags: The tags of a text.
        scheme: As of `recognize`.
    """
    if scheme == IOB1:
        return None
    for place, (before, tag) in enumerate(zip([OUTSIDE, *tags], tags, strict=False)):
        if tag == OUTSIDE or tag[0] in _OPENS:
            continue
        if type_of(before) != type_of(tag) or before[0] in _CLOSES:
            behind = f"follows {before}" if place else "opens the sentence"
            return place, f"{tag} {behind}, but continues a span, which starts with B-"
    return None


def to_bio(tags: Sequence[str], scheme: str) -> list[str]:
    """Returns the tags of a text in the scheme BIO; those in BIO stay as they are."""
    if scheme == BIO:
        return list(tags)
    found = []
    for before, tag in zip([OUTSIDE, *tags], tags, strict=False):
        opens = tag[0] in _OPENS or (scheme == IOB1 and type_of(before) != type_of(tag))
        found.append(tag if tag == OUTSIDE else f"{'B' if opens else 'I'}-{type_of(tag)}")
    return found
