"""A served model and its versions: what is known of them, which one a request means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving.errors import ServingError
from serving.server.lifecycle.version_policy import Model, State
from serving.server.servables.base import Servable


@dataclass
class Version:
    """What the manager knows of one version of one model."""

    number: int
    path: Path
    state: State = State.START
    error: ServingError | None = None
    session: Servable | None = None
    requests: int = 0
    failed_loads: int = 0
    retry_at: float = 0.0


@dataclass
class Served:
    """A model with its versions; whoever reads or changes it holds the manager's lock.

    Attributes:
        model: Its configuration.
        listed: Whether it is configured still.
        aspired: Versions that should be served.
        versions: Versions that are known or were.
    """

    model: Model
    listed: bool = True
    aspired: set[int] = field(default_factory=set)
    versions: dict[int, Version] = field(default_factory=dict)

    def states(self) -> dict[int, State]:
        return {number: version.state for number, version in self.versions.items()}

    def ready(self) -> list[int]:
        return [n for n, version in self.versions.items() if version.state is State.AVAILABLE]

    def settled(self) -> bool:
        """Whether every aspired version is available or has failed for good.

        Retries are not waited for where another version is available.
        """
        aspired = [self.versions[number] for number in self.aspired]
        done = {version.state for version in aspired} <= {State.AVAILABLE, State.END}
        retried = all(v.state is not State.LOADING and (v.session or v.error) for v in aspired)
        return bool(aspired) and (done or (bool(self.ready()) and retried))

    def version(self, number: int | None) -> Version | None:
        """Returns an available version, the highest one if no number is given."""
        if number is None:
            number = max(self.ready(), default=None)
        version = self.versions.get(number) if number is not None else None
        return version if version and version.state is State.AVAILABLE else None

    def aspire(self, paths: Mapping[int, Path]) -> None:
        """Makes these versions, at these places, the ones that should be served."""
        for number, path in paths.items():
            known = self.versions.get(number)
            # Unloaded, and back again; a failed one is back only if it was gone.
            again = (
                known
                and known.state is State.END
                and (known.error is None or number not in self.aspired)
            )
            # What failed elsewhere, or is to be loaded from there, begins anew.
            moved = known and known.state in (State.START, State.END) and known.path != path
            if known is None or again or moved:
                self.versions[number] = Version(number, path)
            elif known.state is State.UNLOADING:
                known.path = path
        for number, version in self.versions.items():
            if version.state is State.START and number not in paths:
                version.state = State.END
        self.aspired = set(paths)

    def unloaded(self, version: Version) -> None:
        """Ends a version; one that is wanted again meanwhile begins anew."""
        version.state = State.END
        if version.number in self.aspired:
            self.versions[version.number] = Version(version.number, version.path)
