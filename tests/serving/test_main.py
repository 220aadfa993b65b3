"""`python -m serving`: exit codes and error messages of all commands."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from serving.__main__ import main, parse
from serving.commands import output, up
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


def test_the_nearest_command_is_named(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["deplyo"])
    assert ended.value.code == 2
    assert "no command deplyo; the nearest is deploy; known are: deploy" in capsys.readouterr().err


def test_without_a_command_there_is_the_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "serve a registered version under a label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("query m --label canary a.png b.png", {"model": "m", "label": "canary", "files": 2}),
        ("query --picture x.png m a.png", {"model": "m", "picture": Path("x.png"), "files": 1}),
        ("query m a.png --wait 3 b.png", {"files": 2, "wait": 3.0}),
        ("query m -- -a.png", {"files": 1}),
        ("query m --text=--a-b", {"text": ["--a-b"]}),
        ("query m --batch-size 3 a.png", {"batch_size": 3}),
        ("query m --batch_size=3 a.png", {"batch_size": 3}),
        ("query m a.png --root-certificates=a-b.pem", {"root_certificates": "a-b.pem"}),
        ("deploy --latency-budget 7 m", {"model": "m", "latency_budget": 7.0}),
        ("deploy m --latency_budget 7", {"latency_budget": 7.0}),
        ("deploy m --now", {"label": "stable"}),
        ("deploy m", {"label": None, "force": False}),
        ("status --address h:1 m", {"model": "m", "address": "h:1"}),
        ("status --server-name a", {"model": None, "server_name": "a"}),
        ("compare --labels a b m", {"model": "m", "labels": ["a", "b"]}),
        ("up --rest-port 1 -- --enable-batching", {"rest_port": 1, "flags": 1}),
        ("up --rest_port 1", {"rest_port": 1, "flags": 0}),
    ],
)
def test_options_stand_anywhere_with_hyphens_or_underscores(line, values):
    found = vars(parse(shlex.split(line)))
    found |= {name: len(found[name]) for name in ("files", "flags") if name in found}
    assert {name: found[name] for name in values} == values


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"], ["logs"]])
def test_a_closed_pipe_ends_a_command_as_a_signal_would(tmp_path, arguments):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "server.log").write_text("a line\n" * 100_000)
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (141, "")


def test_a_closed_pipe_ends_a_table_too(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    # Not the console's file, which would be that of this test for all later ones.
    monkeypatch.setattr(output, "console", type(output.console)(file=Closed()))
    with pytest.raises(BrokenPipeError):
        output.print_line("a line")


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
