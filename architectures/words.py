"""Words that were probably meant, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], most: int = 1) -> str:
    """Returns "the nearest is convnet; " for a word that is nearly a known one, or else "".

    Args:
        word: What was written.
        known: What could have been written.
        most: Maximum number of words to name, the nearest first.
    """
    spellings = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), spellings, n=most)
    if not near:
        return ""
    names = ", ".join(spellings[name] for name in near)
    return f"the nearest {'is' if len(near) == 1 else 'are'} {names}; "
