"""Which versions of a model should be served, and what to do next: nothing here touches a disk.

Sources: tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc and
tensorflow_serving/core/availability_preserving_policy.cc.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_INTEGER = re.compile(r"[+-]?[0-9]+")


class State(enum.IntEnum):
    """States of a version, with the numbers of GetModelStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Action:
    """One step towards the aspired versions."""

    kind: Literal["load", "unload"]
    version: int


@dataclass(frozen=True)
class Policy:
    """Which of the versions on disk a model aspires to.

    Attributes:
        kind: "latest" for the highest `count`, "all", or "specific" for those in `versions`.
        count: How many of the latest.
        versions: Those that are named.
    """

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()

    def aspired(self, found: Collection[int]) -> set[int]:
        """Returns those of the versions found on disk that should be served."""
        if self.kind == "latest":
            return set(sorted(found)[-self.count :])
        return set(found) if self.kind == "all" else set(self.versions.intersection(found))


@dataclass(frozen=True)
class Model:
    """A model to serve.

    Attributes:
        name: Its served name.
        base_path: The folder of its versions.
        policy: Which of them to serve.
        labels: Version by label.
    """

    name: str
    base_path: Path
    policy: Policy = Policy()
    labels: Mapping[str, int] = field(default_factory=dict)


def found(names: Iterable[str]) -> dict[int, str]:
    """Returns the folder of each version among the children of a base path.

    A child is a version if its whole name is a 64-bit integer, leading zeros allowed; of
    several spellings the last in sort order counts.
    """
    versions = {}
    for name in sorted(names):
        if _INTEGER.fullmatch(name) and -(2**63) <= int(name) < 2**63:
            versions[int(name)] = name
    return versions


def next_action(states: Mapping[int, State], aspired: Collection[int]) -> Action | None:
    """Returns the next step that keeps a version available throughout.

    An old version goes when a new one is ready, when another old one remains, or when nothing
    is aspired to. The highest new version is loaded first.

    Args:
        states: State of each version that the server knows.
        aspired: Versions that should be served.
    """
    ready = {version for version, state in states.items() if state is State.AVAILABLE}
    old = sorted(ready.difference(aspired))
    if old and (not aspired or ready.intersection(aspired) or len(old) > 1):
        return Action("unload", old[0])
    if any(state in (State.LOADING, State.UNLOADING) for state in states.values()):
        return None
    new = [version for version in aspired if states.get(version) is State.START]
    return Action("load", max(new)) if new else None
