"""Progress: bars for stages, and no messages of libraries while they are imported."""

from __future__ import annotations

import io
import os
import sys

import pytest
from rich.console import Console

from pipelines import progress
from pipelines.progress import quiet, stage


def test_quiet_holds_back_what_native_code_writes_to_standard_error(capfd):
    with quiet():
        os.write(2, b"native chatter\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_quiet_shows_everything_if_its_body_fails(capfd):
    def body():
        os.write(2, b"the cause\n")
        raise ImportError("no library")

    with pytest.raises(ImportError, match="no library"), quiet():
        body()
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "the cause\nafterwards\n"


def test_quiet_shows_what_is_not_valid_text(capfd):
    def body():
        os.write(2, b"caf\xe9\n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), quiet():
        body()
    assert "caf" in capfd.readouterr().err


def test_quiet_leaves_standard_output_alone_and_no_file_open(capfd):
    before = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []
    with quiet():
        print("a result")
        sys.stdout.flush()
    after = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []
    assert capfd.readouterr().out == "a result\n"
    assert before == after


@pytest.fixture
def shown(monkeypatch):
    """Returns what was printed to the console."""
    console = Console(record=True, width=120, file=io.StringIO())
    monkeypatch.setattr(progress, "console", console)
    return console.export_text


def test_a_stage_shows_its_title_steps_and_last_note(shown):
    with stage("evaluate", 2) as bar:
        bar.advance("validation 0.9")
        bar.advance("test 0.8")
    text = shown()
    assert "✓ evaluate" in text
    assert "2/2" in text
    assert "test 0.8" in text


def test_a_stage_that_ends_early_is_shown_as_done_with_its_note(shown):
    with stage("train", 40) as bar:
        bar.advance("loss 0.5")
    text = shown()
    assert "40/40" in text
    assert "loss 0.5" in text


def test_a_stage_that_fails_is_not_shown_as_done(shown):
    def body():
        with stage("train", 40) as bar:
            bar.advance()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        body()
    assert "1/40" in shown()
