"""What is remembered of requests that may have ended a process."""

from __future__ import annotations

import signal

import pytest

from serving.server.suspects import Suspects


@pytest.mark.parametrize("code", [-signal.SIGABRT, -signal.SIGFPE, -signal.SIGSEGV, -signal.SIGILL])
def test_what_ran_when_a_process_crashed_is_suspect_for_all_processes(tmp_path, code):
    crashed, other = Suspects(tmp_path, 0), Suspects(tmp_path, 1)
    with crashed.running("before"):
        pass
    with (
        crashed.running("one"),
        crashed.running("one"),
        crashed.running("two"),
        other.running("elsewhere"),
    ):
        crashed.ended(code)
    assert [kind in other for kind in ("one", "two", "before", "elsewhere")] == [
        *(True, True, False, False)
    ]
    assert [kind in crashed for kind in ("one", "elsewhere")] == [True, False]


@pytest.mark.parametrize("code", [0, 1, -signal.SIGKILL, -signal.SIGTERM])
def test_any_other_end_is_no_requests_fault(tmp_path, code):
    suspects = Suspects(tmp_path, 0)
    with suspects.running("one"):
        suspects.ended(code)
    assert "one" not in suspects
    assert list(tmp_path.iterdir()) == []


def test_a_request_runs_although_it_cannot_be_marked(tmp_path):
    suspects = Suspects(tmp_path / "missing", 0)
    ran = False
    with suspects.running("one"):
        ran = True
    assert ran
    assert "one" not in suspects
