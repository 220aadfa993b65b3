"""The words in which messages name commands: those of the program that the user has called."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def as_called(message: str) -> str:
    """Returns a message in the words of the program `foundry` if that was called.

    "python -m serving deploy digits" is then "foundry deploy digits".
    """
    program = Path(sys.argv[0])  # bin/foundry, or foundry/__main__.py.
    if "foundry" not in (program.stem, program.parent.name):
        return message
    message = message.replace("python -m serving compare", "foundry compare-labels")
    return re.sub(r"python -m serving(?!\.)", "foundry", message)
