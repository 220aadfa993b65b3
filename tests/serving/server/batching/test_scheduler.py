"""Tasks become batches: when a batch is processed, what is in it, and who waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import ServingError
from serving.server.batching.scheduler import Batch, Scheduler, Task


def task(rows: int = 1, seconds: float | None = 60.0) -> Task:
    return Task({}, rows, None if seconds is None else time.monotonic() + seconds)


class Processed:
    """A scheduler, and the batches that it has processed; they take until `go` is set."""

    def __init__(self, **options) -> None:
        self.batches: list[Batch] = []
        self.go = threading.Event()
        self.go.set()
        defaults = {"threads": 1, "max_rows": 4, "timeout": 60.0, "max_batches": 100}
        self.scheduler = Scheduler(self.process, **(defaults | options))

    def process(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.go.wait(60)
        for each in batch.tasks:
            each.results = []


@pytest.fixture
def made() -> Iterator:
    """Makes schedulers and closes them in the end."""
    all_made: list[Processed] = []

    def made(**options) -> Processed:
        all_made.append(Processed(**options))
        return all_made[-1]

    yield made
    for each in all_made:
        each.go.set()
        each.scheduler.close()


def test_a_full_batch_is_processed_at_once(made):
    one = made()
    tasks = [task(2), task(1), task(1)]
    for each in tasks:
        one.scheduler.submit("a", [each])
    assert all(each.wait() for each in tasks)
    (batch,) = one.batches
    assert (batch.tasks, batch.rows, batch.key) == (tasks, 4, "a")
    assert {each.batch for each in tasks} == {batch}


def test_a_batch_is_processed_when_it_is_due_or_the_next_task_does_not_fit(made):
    one = made(timeout=0.1)
    begun = time.monotonic()
    first, second = task(3), task(2)
    one.scheduler.submit("a", [first, second])
    assert first.wait()
    assert time.monotonic() - begun < 0.1
    assert second.wait()
    assert time.monotonic() - begun >= 0.1


def test_without_a_timeout_tasks_join_while_the_threads_are_busy(made):
    one = made(timeout=0.0)
    one.go.clear()
    tasks = [task() for _ in range(6)]
    for each in tasks:
        one.scheduler.submit("a", [each])
        while not one.batches:
            time.sleep(0.001)
    one.go.set()
    assert all(each.wait() for each in tasks)
    assert [batch.rows for batch in one.batches] == [1, 4, 1]


def test_while_one_thread_works_another_keeps_the_time(made):
    one = made(threads=2, timeout=0.05)
    for _ in range(20):
        one.go.clear()
        full, late = task(4), task(1)
        one.scheduler.submit("a", [full, late])
        begun = time.monotonic()
        while len(one.batches) % 2 or not one.batches:
            assert time.monotonic() - begun < 20
            time.sleep(0.001)
        one.go.set()
        assert full.wait()
        assert late.wait()
        one.batches.clear()


def test_the_batch_that_is_due_first_goes_first(made):
    one = made(max_rows=10, timeout=0.05)
    one.go.clear()
    one.scheduler.submit("first", [task(10)])
    tasks = [task(1) for _ in "abc"]
    for key, each in zip("abc", tasks, strict=True):
        one.scheduler.submit(key, [each])
    one.go.set()
    assert all(each.wait() for each in tasks)
    assert [batch.key for batch in one.batches] == ["first", "a", "b", "c"]


def test_a_queue_refuses_when_too_many_batches_wait(made):
    one = made(max_batches=2)
    one.go.clear()
    tasks = [task(4)]
    one.scheduler.submit("a", tasks)
    while not one.batches:
        time.sleep(0.001)
    tasks += [task(4), task(4)]
    one.scheduler.submit("a", tasks[1:])
    for _ in range(2):
        with pytest.raises(ServingError) as raised:
            one.scheduler.submit("a", [task(1)])
        assert raised.value.code is grpc.StatusCode.UNAVAILABLE
        assert raised.value.message.endswith(
            "currently 2 batches enqueued and max_enqueued_batches is 2"
        )
    one.scheduler.submit("b", [task(1)])
    one.go.set()
    assert all(each.wait() for each in tasks)


def test_a_task_that_is_given_up_in_the_queue_is_not_processed(made):
    one = made(max_rows=2)
    given_up = task(1, 0.01)
    one.scheduler.submit("a", [given_up])
    assert not given_up.wait()
    last = task(1, None)
    one.scheduler.submit("a", [last])
    assert last.wait()
    assert [batch.tasks for batch in one.batches] == [[last]]
    assert one.batches[0].rows == 1


def test_closing_processes_what_waits_and_refuses_what_comes(made):
    one = made(threads=3)
    tasks = [task(1) for _ in range(3)]
    for key, each in enumerate(tasks):
        one.scheduler.submit(key, [each])
    one.scheduler.close()
    assert all(each.wait() for each in tasks)
    with pytest.raises(ServingError):
        one.scheduler.submit("a", [task(1)])


@settings(max_examples=30, deadline=None)
@given(
    asked=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=40),
    threads=st.integers(1, 3),
    timeout=st.sampled_from([0.0, 0.001]),
)
def test_each_task_is_processed_once_in_a_batch_of_its_queue(asked, threads, timeout):
    one = Processed(threads=threads, timeout=timeout)
    tasks = [(key, task(rows)) for key, rows in asked]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: one.scheduler.submit(each[0], [each[1]]), tasks))
        assert all(pool.map(lambda each: each[1].wait(), tasks))
    one.scheduler.close()
    assert sum(len(batch.tasks) for batch in one.batches) == len(tasks)
    for key, each in tasks:
        assert each.batch is not None
        assert (each.batch.key, each in each.batch.tasks) == (key, True)
    assert all(batch.rows == sum(t.rows for t in batch.tasks) <= 4 for batch in one.batches)
    assert len(one.scheduler._threads) <= threads
