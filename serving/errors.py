"""The errors that serving raises: of a request, of a user's choice, of a rollout."""

from __future__ import annotations

import grpc


class ServingError(Exception):
    """A request that failed, on the server's side or on the client's.

    Attributes:
        code: The gRPC status code.
        message: The server's text.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class UserError(Exception):
    """A choice that cannot work, in one sentence. Exit code 2."""


class RolloutError(Exception):
    """A rollout that failed and left everything as it was, in one sentence. Exit code 1."""
