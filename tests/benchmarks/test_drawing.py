"""The part of a run that its figures take: which processor time counts."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import drawing
from pipelines import progress, run
from pipelines.tracked_run import TrackedRun


def work(seconds: float) -> None:
    """Takes so much processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_time_between_figures_does_not_count_and_no_time_counts_twice():
    clock = drawing._Clock()

    def figures():
        for number in range(3):
            work(0.02)
            yield number

    inner = clock.counted(work)

    def twice():
        work(0.02)
        inner(0.02)

    found = []
    for number in clock.each(figures)():
        found.append(number)
        work(0.2)
    clock.counted(twice)()
    assert found == [0, 1, 2]
    # Three steps, and two pieces of work, one within the other.
    assert 0.1 <= clock.seconds < 0.3


def test_a_run_is_measured_and_its_figures_within_it(tmp_path, monkeypatch):
    logged: list[tuple[str, str]] = []

    def figure(tracked, name, drawn):
        work(0.02)
        logged.append((name, drawn))

    def figures(*arguments):
        work(0.02)
        yield "first", "drawn"

    def pipeline(name, config):
        assert (name, config.recipe.epochs) == ("forecasting", 1)
        work(0.1)
        # Whatever stands there during a run.
        draw: Any = run._figures
        log: Any = TrackedRun.figure
        for each in draw():
            log(None, *each)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "elsewhere")
    monkeypatch.setattr(progress.console, "quiet", False)
    for owner, name, replaced in (
        (run, "run", pipeline),
        (run, "_figures", figures),
        (TrackedRun, "figure", figure),
    ):
        monkeypatch.setattr(owner, name, replaced)
    seconds, total = drawing.part("forecasting", 1, str(tmp_path))
    assert logged == [("first", "drawn")]
    assert 0.04 <= seconds <= total - 0.1
    assert run._figures is figures
