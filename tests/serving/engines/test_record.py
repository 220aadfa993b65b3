"""Which records of a server still count."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.engine import choose
from serving.engines.process import LOOPBACK, ServerProcess
from serving.engines.record import forget, read, start
from serving.errors import UserError


def record(repository: Path, **changes: object) -> Path:
    """Writes a record of this very process, with changes."""
    file = repository / ".server.json"
    file.write_text(
        json.dumps(
            {
                "engine": "binary",
                "process": os.getpid(),
                "created": psutil.Process().create_time(),
                "container": "",
                "port": 8500,
                "rest_port": 8501,
                "log": "/log",
            }
            | changes
        )
    )
    return file


def dead() -> int:
    """Returns the number of a process that has ended."""
    process = psutil.Popen(["true"])
    process.wait()
    return process.pid


def test_without_a_record_there_is_no_server(tmp_path):
    assert read(tmp_path) is None


def test_the_record_of_a_running_process_counts(tmp_path):
    record(tmp_path)
    found = ServerProcess("binary", psutil.Process(), 8500, 8501, Path("/log"))
    assert read(tmp_path) == found
    assert found.rest_url == "http://localhost:8501"
    record(tmp_path, rest_encrypted=True)
    assert read(tmp_path) == replace(found, rest_encrypted=True)


@pytest.mark.parametrize(
    "changes",
    [{"created": 1.0}, {"process": dead()}, {"process": dead(), "container": "keras-foundry-no"}],
    ids=["a number used again", "a process that has ended", "a container that is gone"],
)
def test_a_stale_record_counts_for_nothing(tmp_path, changes, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    record(tmp_path, **changes)
    assert read(tmp_path) is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"process": "one", "created": 0, "container": ""}', "\xff"]
)
def test_a_file_that_is_no_record_is_named(tmp_path, content):
    (tmp_path / ".server.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=f"^{tmp_path}/.server.json is no record of a server"):
        read(tmp_path)


def test_only_the_own_record_is_removed(tmp_path):
    file = record(tmp_path)
    running = read(tmp_path)
    assert running is not None
    record(tmp_path, process=dead())
    forget(tmp_path, running)
    assert file.exists()
    record(tmp_path)
    forget(tmp_path, running)
    assert not file.exists()
    forget(tmp_path, running)


def test_a_repository_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / ".server.lock").mkdir()
    with pytest.raises(UserError, match=f"^{tmp_path} cannot be written: "):
        start(choose("embedded"), tmp_path, host=LOOPBACK, port=1, rest_port=0, options=[])


def test_what_a_killed_command_left_goes_with_the_next(tmp_path):
    left = tmp_path / ".server.abc"
    left.mkdir()
    (left / ".server.json").touch()
    with pytest.raises(UserError, match="deploy a model first"):
        start(choose("embedded"), tmp_path, host=LOOPBACK, port=1, rest_port=0, options=[])
    assert not left.exists()


def test_a_file_is_no_repository_with_a_server(tmp_path):
    (tmp_path / "models").touch()
    assert read(tmp_path / "models") is None


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
FIELDS = ("engine", "process", "created", "container", "host", "port", "rest_port", "log")


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES | st.lists(VALUES, max_size=2)))
def test_any_record_is_read_or_refused(tmp_path_factory, changes):
    folder = tmp_path_factory.getbasetemp()
    if isinstance(changes.get("container"), str):
        changes["container"] = ""  # No Docker is asked for others.
    record(folder, **{"process": 2**22 + 1} | changes)
    with contextlib.suppress(UserError):
        read(folder)
