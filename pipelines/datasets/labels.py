"""Names of classes: which of them look alike."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation


def alike(names: Iterable[str]) -> list[str]:
    """Returns a note for each group of different labels that look alike, as "cat" and "Cat".

    Labels that are equal as numbers, as "1" and "1.0", look alike, too.
    """
    groups = defaultdict(list)
    for name in sorted(set(names)):
        groups[_as_seen(name)].append(name)
    return [
        f"the classes {', '.join(map(ascii, group))} are different ones: they differ in letter "
        "case, spaces or the form of their characters or numbers alone"
        for group in groups.values()
        if len(group) > 1
    ]


def _as_seen(label: str) -> str | Decimal:
    """Returns what labels have in common that look alike: no letter case, spaces or marks."""
    plain = unicodedata.normalize("NFKC", label).casefold()
    plain = "".join(x for x in plain if not x.isspace() and unicodedata.category(x) != "Cf")
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return plain
    return number if number.is_finite() and "_" not in plain else plain
