"""Lines of JSON for requests: what is in them, and what becomes of them when a disk is slow."""

from __future__ import annotations

import datetime
import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UserError
from serving.server.monitoring import access_log
from serving.server.monitoring.access_log import AccessLog, record
from serving.server.monitoring.observation import Observation


def request(**known) -> Observation:
    return Observation("Predict", "GRPC", lambda: "ipv4:10.0.0.1:4711", **known)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_asked_what_and_how_long_it_took(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    log.write(
        request(
            time=1e9,
            model="m",
            version=3,
            label="stable",
            signature="serving_default",
            rows=8,
            queue_seconds=0.001,
            runtime_seconds=0.002,
            total_seconds=0.0045678,
        )
    )
    log.write(request(model="gone", code="NOT_FOUND"))
    log.close()
    first, second = lines(path)
    assert first == {
        "time": "2001-09-09T01:46:40.000000+00:00",
        "api": "Predict",
        "transport": "GRPC",
        "model": "m",
        "version": 3,
        "label": "stable",
        "signature": "serving_default",
        "batch_size": 8,
        "code": "OK",
        "queue_ms": 1.0,
        "codec_ms": 1.568,
        "runtime_ms": 2.0,
        "total_ms": 4.568,
        "peer": "ipv4:10.0.0.1:4711",
    }
    assert (second["code"], second["version"], second["label"]) == ("NOT_FOUND", None, None)
    now = datetime.datetime.now(datetime.UTC)
    assert abs(now - datetime.datetime.fromisoformat(second["time"])) < datetime.timedelta(hours=1)


@given(name=st.text())
def test_whatever_a_client_sends_stays_in_one_line(name):
    line = json.dumps(record(request(model=name, label=name, signature=name)))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["model"] == name[:200]


def test_a_name_without_end_is_cut():
    assert len(json.dumps(record(request(model="x" * 10**6)))) < 1000


def test_lines_are_added_to_those_that_are_there(tmp_path):
    path = tmp_path / "access.log"
    path.write_text('{"model": "before"}\n')
    log = AccessLog(str(path))
    log.write(request(model="m"))
    log.close()
    assert [line["model"] for line in lines(path)] == ["before", "m"]


@pytest.mark.parametrize("removed", [False, True])
def test_a_file_that_is_rotated_away_is_started_again(tmp_path, removed):
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(str(path))
    for number in range(20):
        log.write(request(model=f"before {number}"))
    written(path, 20)
    path.rename(old)
    if removed:
        old.unlink()
    log.write(request(model="after"))
    log.close()
    assert [line["model"] for line in lines(path)] == ["after"]
    assert removed or len(lines(old)) == 20


def written(path: Path, count: int) -> None:
    """Waits for lines."""
    waited = threading.Event()
    for _ in range(1000):
        if path.read_text().count("\n") >= count:
            return
        waited.wait(0.01)
    raise AssertionError(f"{path} has no {count} lines after ten seconds")


def test_many_threads_and_processes_write_whole_lines(tmp_path):
    path = tmp_path / "access.log"
    logs = [AccessLog(str(path)) for _ in range(2)]
    threads = [
        threading.Thread(target=lambda log=log: [log.write(request(model="m")) for _ in range(500)])
        for log in logs
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    assert len(lines(path)) == 2 * 4 * 500


def test_requests_do_not_wait_for_a_slow_disk(tmp_path, monkeypatch):
    path = tmp_path / "access.log"
    may_write, write = threading.Event(), access_log.os.write

    def slow(file, data):
        may_write.wait(30)
        return write(file, data)

    monkeypatch.setattr(access_log, "_MAX_WAITING", 10)
    monkeypatch.setattr(access_log.os, "write", slow)
    log = AccessLog(str(path))
    for _ in range(1000):
        log.write(request(model="m"))  # Would wait for ever if it waited.
    may_write.set()
    log.close()
    left_out = sum(line.get("left_out", 0) for line in lines(path))
    assert left_out > 0
    assert sum("model" in line for line in lines(path)) + left_out == 1000


def test_a_full_disk_ends_nothing_and_is_told_once(tmp_path, monkeypatch, caplog):
    path = tmp_path / "access.log"
    write, full = access_log.os.write, threading.Event()
    full.set()
    refused = threading.Semaphore(0)

    def maybe_full(file, data):
        if full.is_set():
            refused.release()
            raise OSError(28, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(access_log.os, "write", maybe_full)
    log = AccessLog(str(path))
    for _ in range(3):
        log.write(request(model="lost"))
        assert refused.acquire(timeout=10)
    full.clear()
    log.write(request(model="m"))
    log.close()
    assert [line["model"] for line in lines(path)] == ["m"]
    assert caplog.text.count("the access log cannot be written: [Errno 28] No space left") == 1


def test_a_minus_is_standard_error(capfd):
    log = AccessLog("-")
    log.write(request(model="m"))
    log.close()
    assert json.loads(capfd.readouterr().err)["model"] == "m"


def test_a_file_that_cannot_be_opened_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"^--access_log=.*gone/a cannot be written: No such file"):
        AccessLog(str(tmp_path / "gone" / "a"))
