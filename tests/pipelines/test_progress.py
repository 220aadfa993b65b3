"""Progress: bars for stages."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from pipelines import progress
from pipelines.progress import stage


@pytest.fixture
def terminal(monkeypatch):
    """Returns what was printed to a console that is a terminal."""
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(progress, "console", console)
    return console.export_text


class Log(io.StringIO):
    """A file, as of `nohup`, that knows what was flushed."""

    flushed = ""

    def flush(self):
        self.flushed = self.getvalue()


@pytest.fixture
def log(monkeypatch):
    """Returns a file that the console prints to."""
    file = Log()
    monkeypatch.setattr(progress, "console", Console(width=60, file=file))
    return file


def test_a_stage_shows_its_title_steps_and_last_note(terminal):
    with stage("evaluate", 2) as bar:
        bar.advance("validation 0.9")
        bar.advance("test [0.8]")
    text = terminal()
    assert "✓ evaluate" in text
    assert "2/2" in text
    assert "test [0.8]" in text


def test_a_stage_of_one_step_is_done_at_its_end(terminal):
    with stage("data"):
        pass
    assert re.search(r"✓ data +━+ 1/1 0:00:00", terminal())


def test_a_stage_that_ends_early_is_shown_as_done_with_its_steps_and_note(terminal):
    with stage("train", 40) as bar:
        bar.advance("loss 0.5")
        bar.finish("keeps the weights of epoch 1")
    assert re.search(r"✓ train +━+ 1/40 0:00:00 +keeps the weights of epoch 1", terminal())


def test_a_stage_that_fails_is_not_shown_as_done(terminal):
    def body():
        with stage("train", 40) as bar:
            bar.advance()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        body()
    text = terminal()
    assert "1/40" in text
    assert "✓" not in text


def test_within_a_step_the_bar_moves_and_the_time_left_is_shown(monkeypatch):
    """Half of the first of two epochs after a minute leaves three minutes."""
    clock = SimpleNamespace(now=0.0)
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True)
    console.get_time = lambda: clock.now
    monkeypatch.setattr(progress, "console", console)
    with stage("train", 2) as bar:
        for fraction in (0.0, 0.25, 0.5):
            clock.now = 120 * fraction
            bar.within(fraction, "loss 2.3 so far")
        clock.now += 10.0
        bar._progress.refresh()  # type: ignore[attr-defined]
        shown = console.export_text().splitlines()[-1]
    assert re.search(r"train +━+╺?━* 0/2 0:01:10 0:03:00 left loss 2\.3 so far", shown)


def test_without_a_terminal_each_step_is_a_line_that_is_flushed_at_its_end(log):
    with stage("train", 3) as bar:
        bar.within(0.5, "loss 0.9 so far")
        assert log.getvalue() == ""
        bar.advance("loss 0.5, validation accuracy 0.7500, and more than fits into the width")
        (line,) = log.flushed.splitlines()
        expected = r"  train      1/3 0:00:00, 0:00:00 left  loss 0.5, .* into the width"
        assert re.fullmatch(expected, line)
        bar.advance("loss 0.4")
        bar.advance("loss 0.3")
    assert re.fullmatch(r"✓ train      3/3 0:00:00  loss 0.3", log.flushed.splitlines()[2])
    assert len(log.flushed.splitlines()) == 3


def test_without_a_terminal_a_stage_without_steps_is_one_line(log):
    with stage("data"):
        assert log.getvalue() == ""
    assert log.flushed == "✓ data       1/1 0:00:00\n"


def test_without_a_terminal_a_stage_that_ends_early_says_so(log):
    with stage("train", 40) as bar:
        bar.advance("loss 0.5")
        bar.finish("keeps the weights of epoch 1")
    assert log.flushed.splitlines()[1] == (
        "✓ train      1/40 0:00:00  keeps the weights of epoch 1"
    )


def test_without_a_terminal_a_stage_that_fails_is_not_shown_as_done(log):
    def body():
        with stage("data"):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        body()
    assert log.getvalue() == ""


def test_a_log_has_a_line_a_minute_within_a_long_step_with_the_time_left(log, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with stage("train", 4) as bar:
        bar.begin(2)  # Of these two epochs, the time is not known.
        for second in range(0, 200, 10):
            clock[0] = float(second)
            bar.within(second / 200, f"loss {second}")
        clock[0] = 200.0
        bar.advance("loss 0.5")
        clock[0] = 400.0
        bar.advance("loss 0.25")
    assert log.getvalue().splitlines() == [
        "  train      2.30/4 0:01:00, 0:05:40 left  loss 60",
        "  train      2.60/4 0:02:00, 0:04:40 left  loss 120",
        "  train      2.90/4 0:03:00, 0:03:40 left  loss 180",
        "  train      3/4 0:03:20, 0:03:20 left  loss 0.5",
        "✓ train      4/4 0:06:40  loss 0.25",
    ]
