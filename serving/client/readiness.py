"""When a model is ready: the part of waiting that needs no connection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import grpc

from serving.client.calls import VersionStatus
from serving.errors import ServingError

PAUSE = 0.1
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


class Wait:
    """A wait with a deadline, and what responses mean for it.

    Args:
        timeout: Seconds to wait in all.
    """

    def __init__(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout

    def left(self) -> float:
        """Returns the seconds until the deadline, 0.1 at least."""
        return max(self._deadline - time.monotonic(), 0.1)

    def available(self, spec: Any, states: Sequence[VersionStatus]) -> int | None:
        """Returns the version that is available; None if the wait goes on.

        Args:
            spec: The ModelSpec that is waited for, with a version or with none.
            states: Its status.

        Raises:
            ServingError: The deadline has passed, or the version failed to load.
        """
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

    def check_error(self, error: ServingError) -> None:
        """Raises the error if the deadline has passed or waiting would not change it."""
        unlabelled = error.message.startswith("Unrecognized servable version label")
        if self._over() or not (unlabelled or error.code in _PASSING):
            raise error

    def _over(self) -> bool:
        return time.monotonic() > self._deadline
