"""The version policy: which versions of a model to serve, and which step to take next.

Nothing here reads a disk. Counterparts: ServableVersionPolicy in tensorflow_serving/sources/
storage_path/file_system_storage_path_source.proto, and
tensorflow_serving/core/availability_preserving_policy.cc.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


class State(enum.IntEnum):
    """The state of a version, with the numbers of GetModelStatus."""

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
    """The rule by which versions on disk become aspired versions.

    Attributes:
        kind: "latest" for the highest `count`, "all", or "specific" for those in `versions`.
        count: Number of the latest versions.
        versions: The specific versions.
    """

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()

    def aspired(self, found: Collection[int]) -> set[int]:
        """Returns the versions to serve among those found on disk."""
        if self.kind == "latest":
            return set(sorted(found)[-self.count :])
        return set(found) if self.kind == "all" else set(self.versions.intersection(found))


@dataclass(frozen=True)
class Model:
    """The configuration of a model to serve.

    Attributes:
        name: The name that clients use.
        base_path: The folder of its versions.
        policy: The rule that selects the versions to serve.
        labels: Version by label.
    """

    name: str
    base_path: Path
    policy: Policy = Policy()
    labels: Mapping[str, int] = field(default_factory=dict)


def next_action(states: Mapping[int, State], aspired: Collection[int]) -> Action | None:
    """Returns the next step that keeps a version available at all times.

    An old version is unloaded when a new one is available, when another old one remains, or when
    no version is aspired. The highest new version is loaded first.

    Args:
        states: State of each known version.
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
