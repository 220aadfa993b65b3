"""Models that take examples, what they are sent, and a session that counts its runs."""

from __future__ import annotations

from typing import Any

from serving.server.servables.session import Session
from tests.serving.inference_models import examples

TF1 = "half_plus_two_of_examples"
TF2 = "half_plus_two_of_examples_in_tensorflow_2"
X = examples({"x": 2.0})


class Counting:
    """A session that counts its runs and keeps the time each was given."""

    def __init__(self, session: Session) -> None:
        self.signatures = session.signatures
        self.timeouts: list[float | None] = []
        self._session = session

    def run(self, feeds: Any, fetches: Any, timeout: float | None = None) -> Any:
        self.timeouts.append(timeout)
        return self._session.run(feeds, fetches, timeout)
