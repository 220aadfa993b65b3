"""The server as a process: how it starts, how it refuses to, and how it ends."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from serving.client import Client
from serving.errors import ServingError
from serving.server.__main__ import _until_ready
from serving.server.manager import Manager
from serving.server.versions import Model
from tests.serving.saved_models import publish, record_warmup, recorded, request

ROOT = Path(__file__).resolve().parent.parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
ENVIRONMENT.pop("TF_ENABLE_ONEDNN_OPTS", None)


class Process:
    """A running server and the lines of its log."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving.server", *flags],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.log = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log += line
            self.lines.put(line)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits for a line of the log."""
        while True:
            try:
                line = self.lines.get(timeout=300)
            except queue.Empty:
                pytest.fail(f"no line of the log matches {pattern}:\n{self.log}")
            if match := re.search(pattern, line):
                return match

    def exit_code(self) -> int:
        code = self.process.wait(300)
        self._reader.join(10)
        return code


@contextmanager
def started(*flags: str) -> Iterator[Process]:
    server = Process(*flags)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def test_a_server_waits_for_a_version_outlives_bad_requests_and_ends_in_good_order(
    repository, tmp_path
):
    base = tmp_path / "m"
    base.mkdir()
    version = publish(repository / "count" / "1", tmp_path, 1)
    # Without warmup a bad record does no harm.
    record_warmup(version, recorded(request("m", x=np.ones(1))))
    with started(
        "--port=0", "--model_name=m", f"--model_base_path={base}", "--enable_model_warmup=false"
    ) as server:
        server.wait_for("Did you forget to name your leaf directory as a number")
        assert "Running gRPC" not in server.log
        version.rename(base / "1")
        address = f"127.0.0.1:{server.wait_for(r'ModelServer at 0.0.0.0:([0-9]+)')[1]}"
        with Client(address, timeout=60) as client, ThreadPoolExecutor(1) as pool:
            outlive_wrong_shapes(client)

            # An answer of a second or two is under way when the signal comes.
            begun = time.monotonic()
            client.predict("m", {"number": 50_000})
            number = int(50_000 * 1.5 / (time.monotonic() - begun))
            slow = pool.submit(client.predict, "m", {"number": number})
            time.sleep(0.3)
            assert not slow.done()
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("Stopping")
            eventually_refuse(address)
            assert slow.result()["counted"] == number
        assert server.exit_code() == 0
        assert "Traceback" not in server.log


def eventually_refuse(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with Client(address, timeout=60) as late:
                late.predict("m", {"number": 1})
        except ServingError as error:
            if error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                return
            raise
    pytest.fail("new requests are still accepted")


def outlive_wrong_shapes(client: Client) -> None:
    """Shapes that a convolution cannot take; some kernels would end the process."""
    for shape in ((8, 8, 1), (8,), (), (1, 1, 8, 8, 1), (1, 8, 8, 3)):
        with pytest.raises(ServingError) as raised:
            client.predict("m", {"images": np.zeros(shape, np.float32)}, signature="convolve")
        assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT, shape
    images = np.ones((2, 8, 8, 1), np.float32)
    answer = client.predict("m", {"images": images}, signature="convolve")
    assert answer["filtered"].shape == (2, 8, 8, 4)


def test_a_damaged_newest_version_ends_the_start_although_an_older_one_is_good(
    repository, tmp_path
):
    base = tmp_path / "m"
    base.mkdir()
    publish(repository / "half_plus_two" / "1", base, 1)
    (base / "2").mkdir()
    (base / "2" / "saved_model.pb").write_bytes(b"garbage")
    with started(
        "--port=0", "--model_name=m", f"--model_base_path={base}", "--max_num_load_retries=0"
    ) as server:
        assert server.exit_code() == 1
        assert server.log.splitlines()[-1] == (
            "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
            f"{{{{{{name: m version: 2}} due to error: DATA_LOSS: Can't parse {base}/2/"
            "saved_model.pb as binary proto}, }"
        )
        assert "Traceback" not in server.log
        assert "Running gRPC" not in server.log


def test_a_port_in_use_is_refused_in_a_sentence(repository):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        base = repository / "half_plus_two"
        with started(f"--port={port}", f"--model_base_path={base}") as server:
            assert server.exit_code() == 2
    assert server.log.splitlines()[-1] == (
        f"error: port {port} cannot be bound: it is in use or not allowed; choose another --port"
    )
    assert "Traceback" not in server.log


def test_what_needs_no_tensorflow_imports_none(tmp_path):
    """A mistake on the command line is told in a second, not in ten."""
    missing = tmp_path / "missing"
    code = (
        "import sys\n"
        "from serving.server.__main__ import main\n"
        "for arguments in (['--port=http'], [], ['--model_name=m', '--model_base_path=MISSING'],\n"
        "                  ['--version']):\n"
        "    print(main(arguments), 'tensorflow' in sys.modules)\n"
    ).replace("MISSING", str(missing))
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *refused, serving, tensorflow, version = process.stdout.splitlines()
    assert refused == ["2 False"] * 3
    assert re.fullmatch(r"TensorFlow ModelServer: \d+\.\d+\.\d+", serving)
    assert re.fullmatch(r"TensorFlow Library: \d+\.\d+\.\d+", tensorflow)
    assert version == "0 False"
    assert process.stderr.splitlines() == [
        "error: --port must be an integer, not 'http'",
        "error: --model_base_path is missing: the folder of the model's versions",
        f"error: Could not find base path {missing} for servable m; deploy a model first",
    ]


@pytest.fixture
def manager(tmp_path):
    """A manager that knows only how to load version 1."""

    def load(path: Path) -> Any:
        if path.name != "1":
            raise ServingError(grpc.StatusCode.DATA_LOSS, "it is damaged")
        return SimpleNamespace(close=lambda: None)

    manager = Manager([Model("m", tmp_path)], load, poll_seconds=0.01, load_retries=0)
    yield manager
    manager.stop()


def test_starting_ends_when_the_model_is_available(manager, tmp_path):
    (tmp_path / "1").mkdir()
    assert _until_ready(manager, threading.Event())


def test_a_signal_ends_the_wait_for_a_version(manager):
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert not _until_ready(manager, stop)


def test_a_failed_start_is_raised_where_it_was_asked_for(manager, tmp_path):
    (tmp_path / "2").mkdir()
    with pytest.raises(ServingError, match="did not become available"):
        _until_ready(manager, threading.Event())
