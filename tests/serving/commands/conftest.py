"""What the tests of commands share: a command that is run in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serving.__main__ import main
from serving.commands import output


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command and returns its exit code, what it printed and its errors."""
    monkeypatch.setattr(output.console, "width", 500)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run
