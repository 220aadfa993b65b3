"""Several workers: what is told, and let go, when one of them ends."""

from __future__ import annotations

import weakref
from multiprocessing.pool import ThreadPool

import pytest
import tensorflow as tf

from pipelines import workers
from pipelines.config import Config
from pipelines.errors import TrainingError
from pipelines.training.cluster import Cluster

TWO = Cluster(("first:1", "second:2"), 0)


def test_when_a_worker_is_lost_what_was_begun_is_let_go(monkeypatch):
    monkeypatch.setattr(workers, "of", lambda config: TWO)
    pools = []

    def reduce() -> None:
        pool = ThreadPool(1)
        pools.append(weakref.ref(pool))
        pool.apply(lambda: None)
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")

    with (
        pytest.raises(TrainingError, match="another worker has ended, and worker 0 of 2 cannot"),
        pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"),
        workers.together(Config()),
    ):
        reduce()
    assert pools[0]() is None
