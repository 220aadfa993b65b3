"""A network's summary: its layers, output shapes and numbers of parameters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def summary(model: keras.Model, width: int) -> str:
    """Returns a network's summary as a table of `width` columns, whatever the console's width."""
    lines: list[str] = []
    columns = os.environ.get("COLUMNS")
    # Keras prints through a console of its own, which would cut the table.
    os.environ["COLUMNS"] = str(width)
    try:
        model.summary(print_fn=lines.append, line_length=width)
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return "\n".join(lines)
