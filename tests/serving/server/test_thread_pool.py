"""A pool that runs quick tasks in few threads, and starts more for tasks that wait."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from serving.server import thread_pool as module
from serving.server.thread_pool import GrowingPool, parked, waiting
from tests.serving.waiting import eventually


@pytest.fixture
def patient(monkeypatch):
    """No extra threads, however long a task computes."""
    monkeypatch.setattr(module, "_SLOW_SECONDS", 1e3)


class Gate:
    """Tasks that are held until the gate opens, and how many are in it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = 0
        self.lock = threading.Lock()

    def hold(self, *, waits: bool = True) -> str:
        with self.lock:
            self.inside += 1
        if waits:
            with waiting():
                assert self.open.wait(20)
        else:
            assert self.open.wait(20)
        return threading.current_thread().name


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


def test_a_task_returns_its_result_or_raises_its_error():
    pool = GrowingPool(3)
    assert pool.submit(divmod, 7, 2).result(10) == (3, 1)
    assert pool.submit(int, "11", base=2).result(10) == 3
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(10)


def test_each_of_many_tasks_is_run_once():
    pool = GrowingPool(4)
    done: list[int] = []
    tasks = [pool.submit(done.append, number) for number in range(2000)]
    for task in tasks:
        task.result(10)
    assert sorted(done) == list(range(2000))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("min_threads", [1, 2, 3])
def test_no_more_than_min_threads_run_at_the_same_time(gate, min_threads):
    pool = GrowingPool(8, min_threads=min_threads)
    tasks = [pool.submit(gate.hold, waits=False) for _ in range(6)]
    eventually(lambda: gate.inside == min_threads)
    time.sleep(0.05)
    assert gate.inside == min_threads
    gate.open.set()
    assert len({task.result(10) for task in tasks}) <= min_threads


@pytest.mark.usefixtures("patient")
def test_tasks_that_wait_make_room_for_others_up_to_the_limit(gate):
    pool = GrowingPool(5, min_threads=1)
    held = [pool.submit(gate.hold) for _ in range(9)]
    eventually(lambda: gate.inside == 5)
    time.sleep(0.05)
    assert gate.inside == 5
    gate.open.set()
    assert len({task.result(10) for task in held}) == 5
    assert gate.inside == 9


@pytest.mark.usefixtures("patient")
def test_tasks_that_are_parked_take_no_thread_from_others():
    pool, gate = GrowingPool(2, min_threads=1), Gate()

    def park() -> None:
        with parked():
            gate.hold()

    held = [pool.submit(park) for _ in range(20)]
    eventually(lambda: gate.inside == 20)
    assert pool.submit(str, 7).result(10) == "7"
    gate.open.set()
    for task in held:
        task.result(10)
    again = Gate()
    held = [pool.submit(again.hold) for _ in range(20)]
    eventually(lambda: again.inside >= 2)
    again.open.set()
    for task in held:
        task.result(10)


@pytest.mark.usefixtures("patient")
def test_after_a_wait_the_extra_threads_are_gone(gate):
    pool = GrowingPool(8, min_threads=1)
    held = [pool.submit(gate.hold) for _ in range(8)]
    eventually(lambda: gate.inside == 8)
    gate.open.set()
    for task in held:
        task.result(10)
    again = Gate()
    tasks = [pool.submit(again.hold, waits=False) for _ in range(4)]
    eventually(lambda: again.inside == 1)
    time.sleep(0.05)
    assert again.inside == 1
    again.open.set()
    for task in tasks:
        task.result(10)


def test_a_task_that_computes_for_long_gets_an_extra_thread(gate):
    pool = GrowingPool(2, min_threads=1)
    pool.submit(gate.hold, waits=False)
    assert pool.submit(str, 7).result(10) == "7"


def test_a_task_is_taken_although_others_came_back_before_its_thread(gate, monkeypatch):
    """A woken thread that finds more than `min_threads` busy still takes its task."""
    pool = GrowingPool(4, min_threads=1)
    pool.acquire()  # As a thread whose wait ends at this very moment.
    held = pool.submit(gate.hold, waits=False)
    assert not held.done()
    pool.release()
    assert pool.submit(str, 7).result(10) == "7"
    gate.open.set()
    held.result(10)


def test_a_machine_without_more_threads_goes_on_with_those_it_has(monkeypatch, gate):
    pool = GrowingPool(4, min_threads=2)
    assert pool.submit(str, 1).result(10) == "1"
    monkeypatch.setattr(module._Thread, "start", refuse)
    tasks = [pool.submit(str, number) for number in range(10)]
    assert [task.result(10) for task in tasks] == [str(number) for number in range(10)]


def refuse(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_threads_without_work_end(monkeypatch):
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.05)
    before = set(threading.enumerate())
    pool = GrowingPool(4, min_threads=2, name="brief")
    for _ in range(20):
        for task in [pool.submit(time.sleep, 0.001) for _ in range(8)]:
            task.result(10)
        time.sleep(0.01)
    eventually(lambda: set(threading.enumerate()) <= before)
    assert pool.submit(str, 7).result(10) == "7"


def test_shutting_down_ends_what_was_begun_and_takes_no_more(gate):
    pool = GrowingPool(2, min_threads=2)
    held = [pool.submit(gate.hold) for _ in range(4)]
    eventually(lambda: gate.inside == 2)
    ending = threading.Thread(target=pool.shutdown)
    ending.start()
    time.sleep(0.02)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(str, 7)
    gate.open.set()
    ending.join(10)
    assert not ending.is_alive()
    assert all(task.done() for task in held)


def test_shutting_down_may_cancel_what_has_not_begun(gate):
    pool = GrowingPool(1)
    begun, later = pool.submit(gate.hold), pool.submit(gate.hold)
    eventually(lambda: gate.inside == 1)
    pool.shutdown(wait=False, cancel_futures=True)
    gate.open.set()
    begun.result(10)
    with pytest.raises(CancelledError):
        later.result(10)


def test_waiting_means_nothing_in_other_threads():
    with waiting(), parked():
        pass
