"""The errors of serving: failed requests, user errors, failed rollouts."""

from __future__ import annotations

import grpc


class ServingError(Exception):
    """A request that failed, on the server's side or on the client's.

    Attributes:
        code: The gRPC status code.
        message: The server's message.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[ServingError], tuple[grpc.StatusCode, str]]:
        """Lets it come out of another process."""
        return type(self), (self.code, self.message)


class UserError(Exception):
    """A user error, in one sentence. Exit code 2."""


class RolloutError(Exception):
    """A failed rollout, which left everything as it was, in one sentence. Exit code 1."""
