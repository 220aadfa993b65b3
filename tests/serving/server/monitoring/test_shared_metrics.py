"""Processes of one server count together."""

from __future__ import annotations

import time
from pathlib import Path

from serving.server.monitoring.metrics import Metrics
from serving.server.monitoring.observation import Observation
from serving.server.monitoring.shared_metrics import SharedMetrics


class Process:
    """What one process has of it."""

    def __init__(self, folder: Path, index: int) -> None:
        self.metrics = Metrics()
        self.shared = SharedMetrics(self.metrics, folder, index, every_seconds=0.01)

    def answer(self, requests: int) -> None:
        for _ in range(requests):
            self.metrics.observe(Observation("Predict", "GRPC", str, model="m", version=1))


def count(process: Process) -> int:
    for line in process.shared.page().splitlines():
        name, _, number = line.rpartition(" ")
        if name == ':tensorflow:serving:request_count{model_name="m",status="OK"}':
            return int(number)
    return 0


def eventually(process: Process, expected: int) -> None:
    for _ in range(1000):
        if count(process) == expected:
            return
        time.sleep(0.01)
    raise AssertionError(f"{count(process)} requests are counted, not {expected}")


def test_each_process_shows_the_counts_of_all(tmp_path):
    first, second = Process(tmp_path, 0), Process(tmp_path, 1)
    first.answer(3)
    assert count(first) == 3
    second.answer(4)
    eventually(first, 7)
    eventually(second, 7)
    first.shared.stop()
    second.shared.stop()


def test_counts_outlive_their_process(tmp_path):
    other, ended = Process(tmp_path, 0), Process(tmp_path, 1)
    ended.answer(5)
    ended.shared.stop()
    assert count(other) == 5
    successor = Process(tmp_path, 1)
    assert count(successor) == 5
    successor.answer(1)
    eventually(other, 6)
    assert count(successor) == 6
    other.shared.stop()
    successor.shared.stop()


def test_a_folder_that_cannot_be_written_ends_no_counting(tmp_path, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    process = Process(folder, 0)
    folder.rename(tmp_path / "elsewhere")
    process.answer(2)
    for _ in range(1000):
        if "counts cannot be shared with other workers" in caplog.text:
            break
        time.sleep(0.01)
    assert caplog.text.count("counts cannot be shared with other workers") == 1
    assert count(process) == 2
    folder.mkdir()
    process.shared.stop()
    assert (folder / "metrics.0.json").exists()
