"""All architectures by name: those of this package and those that other packages add.

A listing imports neither Keras nor a builder of this package. Other packages add architectures
through the entry-point group `keras_foundry.architectures`, see docs/adding-an-architecture.md.
"""

from __future__ import annotations

import functools

from architectures.architecture import Architecture
from architectures.plugins import Plugins, load
from architectures.published import ARCHITECTURES
from architectures.words import nearest

GROUP = "keras_foundry.architectures"


@functools.cache
def foreign() -> Plugins[Architecture]:
    """Returns the architectures that other installed packages add.

    Raises:
        ValueError: A name is defined twice.
    """
    return load(GROUP, Architecture, ARCHITECTURES)


def table() -> dict[str, Architecture]:
    """Returns all architectures by name: this package's, then those of other packages.

    Raises:
        ValueError: A name is defined twice.
    """
    return {**ARCHITECTURES, **foreign().objects}


def names() -> tuple[str, ...]:
    """Returns the names of all architectures in alphabetical order."""
    return tuple(sorted(table()))


def get(name: str) -> Architecture:
    """Returns the architecture `name`.

    Raises:
        ValueError: The name is unknown, or the package that defines it cannot be used.
    """
    known = table()
    if name in known:
        return known[name]
    if name in foreign().problems:
        raise ValueError(foreign().problems[name])
    raise ValueError(
        f"unknown architecture {name!r}; {nearest(name, sorted(known), most=3)}"
        "`python -m architectures` lists all"
    )
