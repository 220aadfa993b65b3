"""The pace of looks: the share of time that they take, whatever they cost."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.training.pace import SHARE, Pace


class Training:
    """Steps and looks that take chosen times on a clock of its own."""

    def __init__(self, pace_of: int, *, step: float, look: float, grows: bool = True) -> None:
        self.now, self.looked, self.spent = 0.0, list[int](), 0.0
        self._step, self._look = step, look
        self.pace = Pace(pace_of, grows=grows, clock=lambda: self.now)

    def run(self, first: int, last: int, *, at_once: int = 1) -> list[int]:
        """Trains, with several steps in a call, and returns the steps before which it looked."""
        for step in range(first, last, at_once):
            tracing = step == first
            if looks := self.pace.begins(step):
                self.looked.append(step)
                with self.pace.looking():
                    self.look(3.0 if tracing else 0.75 * self._look)
            self.now += 10.0 if tracing else self._step * at_once
            self.pace.ends(step + at_once - 1)
            if looks:
                with self.pace.looking():
                    self.look(0.25 * self._look)
                self.pace.looked()
            self.now += 0.5  # What lies between steps.
        return self.looked

    def look(self, seconds: float) -> None:
        self.now += seconds
        self.spent += seconds


@given(st.floats(0.001, 1), st.floats(0.01, 50), st.sampled_from([1, 5]))
def test_looks_take_at_most_the_share(step, steps_of_a_look, at_once):
    intervals = steps_of_a_look / SHARE / 50
    assume(abs(intervals - round(intervals)) > 1e-6)  # Where rounding decides.
    training = Training(50, step=step, look=step * steps_of_a_look)
    looked = training.run(0, 6_000, at_once=at_once)
    every = training.pace.every
    assert every % 50 == 0
    # The first look traces, the second one is what the interval follows from.
    assert looked[:2] == [0, 50]
    assert set(looked[2:]) == set(range(every, 6_000, every)) - {50}
    assert training.pace.share == pytest.approx(steps_of_a_look / every)
    assert training.pace.share <= SHARE
    assert every == 50 or steps_of_a_look / (every - 50) > SHARE * 0.999


def test_logging_counts_as_a_part_of_looks():
    training = Training(50, step=1.0, look=1.5)
    assert training.run(0, 120) == [0, 50, 100]
    with training.pace.logging(2):
        training.now += 3.0
    assert training.run(150, 400) == [0, 50, 100, 150, 200, 300]


def test_a_chosen_interval_stays():
    assert Training(10, step=0.01, look=5.0, grows=False).run(0, 60) == [0, 10, 20, 30, 40, 50]


def test_a_resumed_training_goes_on_with_the_multiples():
    training = Training(50, step=1.0, look=0.1)
    assert training.run(72, 300) == [100, 150, 200, 250]


def test_no_look_begins_before_the_last_one_is_over():
    pace = Pace(10)
    assert pace.begins(0)
    assert not pace.begins(10, busy=True)
    assert pace.begins(13)
    assert not pace.begins(14)
    assert pace.begins(20)
