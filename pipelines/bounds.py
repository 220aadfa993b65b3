"""Bounds of numeric options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Between:
    """Inclusive bounds of a numeric option."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"between {self.low:.12g} and {self.high:.12g}"


def bounds(config: type) -> dict[str, Between]:
    """Returns the bounds of a config class's options by name, as "optimizer.learning_rate"."""
    return dict(_bounds(config, ""))


def _bounds(kind: Any, prefix: str) -> Iterator[tuple[str, Between]]:
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            # The fields of a recipe are options of the run itself.
            yield from _bounds(hint, prefix if name == "recipe" else f"{prefix}{name}.")
        for between in getattr(hint, "__metadata__", ()):
            yield prefix + name, between
