"""`python -m serving`: exit codes and error messages of all commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from serving.__main__ import main
from serving.commands import up
from serving.errors import ServingError

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("command", ["up", "down", "logs"])
def test_a_command_without_an_address_fails_in_a_sentence_too(capsys, monkeypatch, command):
    def fail(*_: object) -> None:
        raise ServingError(grpc.StatusCode.UNAVAILABLE, "failed to connect")

    monkeypatch.setattr(up, f"_{command}", fail)
    assert main([command]) == 1
    assert capsys.readouterr().err.startswith("error: no model server answers at localhost:8500")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["serve"],
        ["query", "m"],
        ["query", "m", "a.png", "--text", "a"],
        ["query", "m", "--text", "a", "--json", "-"],
        ["query", "m", "--text", "a", "--version", "1", "--label", "stable"],
        ["query", "m", "--text", "a", "--concurrency", "0"],
        ["status", "m", "--timeout", "soon"],
    ],
)
def test_a_command_line_that_cannot_be_read_shows_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m serving")


def test_the_exit_code_is_the_processes_own(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "serving", "query", "m", "--text", "a", "--address", "127.0.0.1:1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    assert "start one: python -m serving up" in process.stderr
