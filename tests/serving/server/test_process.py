"""The exit codes of a server's processes, and what they print."""

from __future__ import annotations

import grpc
import pytest

from serving.errors import ServingError, UserError
from serving.server.process import exit_code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("port 1 cannot be bound"), 2, "error: port 1 cannot be bound\n"),
        (
            ServingError(grpc.StatusCode.UNKNOWN, "1 servable(s) did not become available"),
            1,
            "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available\n",
        ),
    ],
)
def test_an_error_for_the_user_is_one_line_and_an_exit_code(capsys, error, code, line):
    def fail() -> int:
        raise error

    assert exit_code(fail) == code
    assert capsys.readouterr().err == line


def test_what_ends_without_an_error_has_its_own_code():
    assert exit_code(lambda: 0) == 0
