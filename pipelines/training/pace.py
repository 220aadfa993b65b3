"""When to look inside of a network: so seldom that it costs little of a training's time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

# Looking takes at most this fraction of the time of the steps.
SHARE = 0.03


class Pace:
    """Steps at which to look: the multiples of an interval, which grows while looks are expensive.

    The time of a look is the median of all but the first one, which traces; that of a step is the
    mean of all but the first one. What lies between steps counts for neither.

    Attributes:
        every: Number of steps from one look to the next, at present.
    """

    def __init__(
        self,
        every: int,
        *,
        grows: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Takes the smallest interval, whether it may grow, and a clock in seconds."""
        self.every = every
        self._shortest, self._grows, self._clock = every, grows, clock
        self._last = self._next = -1
        self._first, self._began = 0, 0.0
        self._steps, self._trained = -1, 0.0
        self._looks: list[float] = []
        self._logged = 0.0

    def begins(self, step: int, *, busy: bool = False) -> bool:
        """Takes note of a step that begins; returns whether to look, unless a look is not over."""
        if self._next < 0:  # A training that is resumed goes on with the multiples of the interval.
            self._next = -(-step // self.every) * self.every
        look = step >= self._next and not busy
        if look:
            self._last = step
            self._plan()
            self._looks.append(0.0)
        self._first, self._began = step, self._clock()
        return look

    def ends(self, step: int) -> None:
        """Takes note of a step that has ended, maybe the last one of several in a single call."""
        if self._steps < 0:  # The first one traces.
            self._steps = 0
            return
        self._trained += self._clock() - self._began
        self._steps += step + 1 - self._first

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Counts the time of its body as that of the last look, and not as that of a step."""
        began = self._clock()
        yield
        spent = self._clock() - began
        self._began += spent
        self._looks[-1] += spent

    @contextmanager
    def logging(self, looks: int) -> Iterator[None]:
        """Counts the time of its body, which logs some looks, for each look."""
        began = self._clock()
        yield
        spent = self._clock() - began
        self._began += spent
        if looks:
            self._logged = spent / looks

    @property
    def share(self) -> float:
        """Time of looks as a fraction of that of steps, at the present interval; NaN at first."""
        return self._steps_of_a_look() / self.every

    def looked(self) -> None:
        """Takes note that the last look is over, and chooses the interval to the next one."""
        steps = self._steps_of_a_look() / SHARE
        if self._grows and math.isfinite(steps):
            self.every = self._shortest * max(1, math.ceil(steps / self._shortest))
            self._plan()

    def _steps_of_a_look(self) -> float:
        """Returns how many steps take the time of a look."""
        if len(self._looks) < 2 or not self._trained:
            return math.nan
        look = float(np.median(self._looks[1:])) + self._logged
        return look / (self._trained / self._steps)

    def _plan(self) -> None:
        self._next = self._last - self._last % self.every + self.every
