"""When a model is ready: the part of waiting that needs no connection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import grpc

from serving.client import calls
from serving.client.calls import Call, VersionStatus
from serving.errors import ServingError

PAUSE = 0.1
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


class Waiting:
    """What to ask next, and what the answers mean; whoever has the connection asks.

    Args:
        specs: Model specs to wait for, one after the other: each with a version, with a label, or
            without both, which is any version.
        timeout: Seconds to wait in all.
        longest: Seconds that one call may take.
    """

    def __init__(self, specs: Sequence[Any], timeout: float, longest: float) -> None:
        self._specs, self._longest = list(specs), longest
        self._deadline = time.monotonic() + timeout
        self._found: list[int] = []

    @property
    def call(self) -> Call[Any]:
        """The next call; pause for `PAUSE` seconds between two."""
        spec = self._specs[0]
        # A status says nothing about labels.
        return calls.version_of(spec) if spec.version_label else calls.status(spec)

    def left(self) -> float:
        """Returns the seconds that the next call may take."""
        return min(self._longest, max(self._deadline - time.monotonic(), 0.1))

    def answered(self, answer: int | list[VersionStatus]) -> int | None:
        """Returns the version of the first spec when all are available; None if the wait goes on.

        Raises:
            ServingError: The time is over, or the version failed to load.
        """
        version = answer if isinstance(answer, int) else self._available(answer)
        if version is not None:
            self._found.append(version)
            self._specs.pop(0)
        return None if self._specs else self._found[0]

    def refused(self, error: ServingError) -> None:
        """Raises the error if the time is over or waiting would not change it."""
        unlabelled = error.message.startswith("Unrecognized servable version label")
        if self._over() or not (unlabelled or error.code in _PASSING):
            raise error

    def _available(self, states: list[VersionStatus]) -> int | None:
        spec = self._specs[0]
        for entry in states:
            if entry.state == "AVAILABLE":
                return entry.version
        failed = spec.HasField("version") and any(entry.state == "END" for entry in states)
        if failed or self._over():
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                f"no version of {spec.name} is available: "
                + ", ".join(f"{s.version} {s.state} {s.error}".strip() for s in states),
            )
        return None

    def _over(self) -> bool:
        return time.monotonic() > self._deadline
