"""What setting up costs, of commands in processes of their own."""

from __future__ import annotations

import sys

import pytest

from benchmarks import setup
from benchmarks.processes import ProcessFailedError


def test_processor_time_is_that_of_the_command(tmp_path):
    idle = [sys.executable, "-S", "-c", "import time; time.sleep(0.5)"]
    busy = [sys.executable, "-S", "-c", "import time\nwhile time.process_time() < 0.5: pass"]
    assert setup.child_cpu_seconds(idle, tmp_path) < 0.4
    assert setup.child_cpu_seconds(busy, tmp_path) >= 0.5


def test_a_command_that_fails_is_told_with_its_errors(tmp_path):
    with pytest.raises(ProcessFailedError, match=r"failed: .*there is no such thing"):
        setup.seconds([sys.executable, "-c", "exit('there is no such thing')"], tmp_path)


def test_pages_take_turns(tmp_path, monkeypatch):
    started = []

    def first_page(command, folder, store):
        started.append(command[2])
        return (1.0, 200.0) if command[2] == "pipelines" else (6.0, 1200.0)

    monkeypatch.setattr(setup, "first_page", first_page)
    monkeypatch.setattr(setup, "seconds", lambda *_: 0.0)
    times, memory = setup.pages(2, tmp_path)
    assert started == ["mlflow", "pipelines", "pipelines", "mlflow"]
    assert (times.ratio, memory.ratio) == (6.0, 6.0)
