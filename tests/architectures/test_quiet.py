"""No messages of libraries while they are imported."""

from __future__ import annotations

import os
import sys

import pytest

from architectures.quiet import quiet


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
