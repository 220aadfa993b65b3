"""The state of a served model and its versions, and the version that a request selects.

Counterparts: `LoaderHarness` and `ServableHandle` in tensorflow_serving/core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from serving.errors import ServingError
from serving.server.lifecycle.version_policy import Model, State
from serving.server.servables.base import Servable


@dataclass
class Version:
    """The state of one version of one model.

    Attributes:
        number: Its number, the name of its folder.
        path: Its folder.
        state: What GetModelStatus reports.
        error: Why it could not be loaded.
        session: What answers its requests, while it is loaded.
        requests: Number of requests that use it now.
        failed_loads: Number of attempts to load it that failed.
        retry_at: Time of the monotonic clock before which it is not loaded again.
    """

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
    """A model with its versions; the manager's lock is held to read or change it.

    Attributes:
        model: Its configuration.
        listed: Whether it is still configured.
        aspired: Versions that should be served.
        versions: Versions that are or were served.
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
        """Whether every aspired version is available or has failed finally.

        Retries do not count where another version is available.
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
        """Makes these versions, at these paths, the ones that should be served."""
        for number, path in paths.items():
            known = self.versions.get(number)
            # Unloaded and then aspired again; a failed one only if it was gone meanwhile.
            is_back = (
                known
                and known.state is State.END
                and (known.error is None or number not in self.aspired)
            )
            # Failed or not yet loaded at another path: starts over.
            moved = known and known.state in (State.START, State.END) and known.path != path
            if known is None or is_back or moved:
                self.versions[number] = Version(number, path)
            elif known.state is State.UNLOADING:
                known.path = path
        for number, version in self.versions.items():
            if version.state is State.START and number not in paths:
                version.state = State.END
        self.aspired = set(paths)

    def unloaded(self, version: Version) -> None:
        """Ends a version; one that has been aspired again meanwhile starts over."""
        version.state = State.END
        if version.number in self.aspired:
            self.versions[version.number] = Version(version.number, version.path)


def select_version(served: Served | None, name: str, choice: int | str | None) -> Version:
    """Returns the available version that a request asks for; the manager's lock is held.

    Args:
        served: The model; None if there is none of that name.
        name: The model's name.
        choice: The version, or a version's label; None selects the highest available version.

    Raises:
        ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
    """
    if isinstance(choice, str):
        label = choice
        choice = served.model.labels.get(label) if served and served.listed else None
        if choice is None:
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Unrecognized servable version label: {label}",
            )
    version = served.version(choice) if served else None
    if version is None:
        request = f"Latest({name})" if choice is None else f"Specific({name}, {choice})"
        raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}")
    return version


class Lease:
    """The use of a version by a request, as a context that yields its number and session.

    The version is not unloaded before the context ends.

    Args:
        lock: The manager's.
        choose: Returns the version, or raises ServingError; called with the lock held.
    """

    __slots__ = ("_choose", "_lock", "_version")

    def __init__(self, lock: threading.Lock, choose: Callable[[], Version]) -> None:
        self._lock = lock
        self._choose = choose

    def __enter__(self) -> tuple[int, Servable]:
        with self._lock:
            self._version = version = self._choose()
            version.requests += 1
        assert version.session is not None
        return version.number, version.session

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._version.requests -= 1
