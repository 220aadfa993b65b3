"""Files of examples, to try a served model with."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

_MAX_ROWS = 8


def json_lines(rows: Iterable[Mapping[str, Any]], file: str = "texts.jsonl") -> dict[str, bytes]:
    """Returns the first eight rows as one file, a JSON object a line, by the file's name."""
    lines = [json.dumps(row, ensure_ascii=False) for row in itertools.islice(rows, _MAX_ROWS)]
    return {file: "".join(f"{line}\n" for line in lines).encode()}
