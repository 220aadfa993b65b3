"""Workers under a supervisor: they share ports, configuration and fate, as far as they should."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from serving.client import Client
from serving.engines.ports import free_port
from serving.errors import ServingError, UserError
from serving.server import supervisor
from serving.server.supervisor import Worker, _reserved, _shared_folder
from tests.serving import saved_models
from tests.serving.saved_models import publish
from tests.serving.server.processes import Process, started
from tests.serving.waiting import eventually

X = {"x": np.array([1.0, 2.0], np.float32)}


def config_file(path: Path, *models: str) -> Path:
    partial = path.with_suffix(".partial")
    partial.write_text("model_config_list { " + " ".join(models) + " }")
    return partial.rename(path)


def model(name: str, base: Path, rest: str = "") -> str:
    return f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" {rest} }}'


def workers_of(server: Process) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(server.process.pid).children()
        if "serving.server.worker" in child.cmdline()
    ]


def reload(address: str, *models: tuple[str, Path]) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    for name, base in models:
        request.config.model_config_list.config.add(
            name=name, base_path=str(base), model_platform="tensorflow"
        )
    with grpc.insecure_channel(address) as channel:
        model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(
            request, timeout=60
        )


def answers(
    address: str, name: str, times: int = 1, *, attempts: int = 1, timeout: float = 20
) -> list[str]:
    """Asks over new connections, so that every worker is met sooner or later."""
    outcomes = []
    for _ in range(times):
        with Client(address, attempts=attempts, timeout=timeout) as client:
            try:
                client.predict(name, X if name == "half" else {"text": ["a"]})
                outcomes.append("OK")
            except ServingError as error:
                outcomes.append(error.code.name)
    return outcomes


def test_workers_share_a_port_a_configuration_and_replace_each_other(repository, tmp_path):
    half, echo = repository / "half_plus_two", repository / "echo"
    config = config_file(
        tmp_path / "models.config",
        model("half", half, 'version_labels { key: "stable" value: 1 }'),
    )
    port, socket_path = free_port(), tmp_path / "socket"
    with started(
        f"--port={port}",
        f"--grpc_socket_path={socket_path}",
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models",
        "--enable_grpc_healthcheck_service",
        "--workers=2",
    ) as server:
        for _ in range(2):
            server.wait_for(
                rf"worker \d serving.server\] Running gRPC ModelServer at 0.0.0.0:{port}"
            )
        address = f"localhost:{port}"
        with Client(address) as client:
            answer = client.predict("half", X, label="stable")
            assert answer["y"].tolist() == [2.5, 3]
        assert answers(f"unix:{socket_path}", "half") == ["OK"]
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for service in ("", "ModelService", "PredictionService"):
                asked = health_pb2.HealthCheckRequest(service=service)
                assert health.Check(asked, timeout=10).status == 1

        # What one of them is told, both do.
        assert answers(address, "echo", 8) == ["NOT_FOUND"] * 8
        reload(address, ("half", half), ("echo", echo))
        assert answers(address, "echo", 8) == ["OK"] * 8

        # One dies: the other goes on, and the next one knows what its predecessor knew.
        victim, survivor = workers_of(server)
        victim.send_signal(signal.SIGKILL)
        eventually(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE)
        assert answers(address, "echo", 4, attempts=3) == ["OK"] * 4
        server.wait_for(r"worker \d ended by SIGKILL; it is restarted")
        server.wait_for(r"Running gRPC ModelServer at 0.0.0.0")
        [successor] = set(workers_of(server)) - {survivor}
        survivor.suspend()
        try:
            # A connection that the survivor has taken is answered by nobody now.
            eventually(lambda: answers(address, "echo", timeout=2) == ["OK"])
        finally:
            survivor.resume()
        server.process.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert not survivor.is_running()
        assert not successor.is_running()
    assert "Traceback" not in server.log


def test_a_configuration_file_is_looked_at_again_and_workers_end_with_their_supervisor(
    repository, tmp_path
):
    base = tmp_path / "half"
    base.mkdir()
    publish(repository / "half_plus_two" / "1", base, 1)
    config = config_file(tmp_path / "models.config", model("half", base))
    port = free_port()
    with started(
        f"--port={port}",
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
    ) as server:
        server.wait_for("Running gRPC ModelServer")
        address = f"localhost:{port}"
        config_file(config, model("half", base), model("echo", repository / "echo"))
        eventually(lambda: answers(address, "echo") == ["OK"])
        config_file(config, "nonsense")
        server.wait_for("Reloading .*models.config failed: .*models.config, line 1")
        config_file(config, model("half", base, 'version_labels { key: "stable" value: 9 }'))
        server.wait_for("Reloading .* failed: FAILED_PRECONDITION: Request to assign label")
        assert answers(address, "echo") == ["OK"]
        config.write_text("# Its models will follow.")
        server.wait_for("Cannot transition to requested config. It is only legal to transition")
        assert answers(address, "echo") == ["OK"]
        config_file(config)  # A list: that it is empty is meant.
        eventually(lambda: answers(address, "echo") == ["NOT_FOUND"])
        config_file(config, model("half", base), model("echo", repository / "echo"))
        eventually(lambda: answers(address, "echo") == answers(address, "half") == ["OK"])
        config_file(config, model("half", base, 'version_labels { key: "stable" value: 1 }'))
        eventually(lambda: answers(address, "echo") == ["NOT_FOUND"])
        with Client(address) as client:
            client.predict("half", X, label="stable")
        [worker] = workers_of(server)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        eventually(lambda: not worker.is_running())


class Pauses(threading.Event):
    """Notes how long it is waited for, and is set after some times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.noted: list[float | None] = []
        self._times = times

    def wait(self, timeout: float | None = None) -> bool:
        self.noted.append(timeout)
        if len(self.noted) == self._times:
            self.set()
        return self.is_set()


def worker_that(
    program: str, stop: threading.Event, ended: Callable[[int], None] = lambda code: None
) -> Worker:
    worker = Worker([], stop, name="worker 0", ended=ended)
    worker._command = [sys.executable, "-c", program]
    return worker


READY = "print('ready', flush=True)"


def test_a_worker_that_ends_as_soon_as_it_is_ready_is_started_less_and_less_often():
    stop = Pauses(4)
    worker = worker_that(READY, stop)
    worker.run()
    assert stop.noted == [0.5, 1, 2, 4]
    assert worker.exit_code == 0


def test_a_worker_that_has_lived_for_long_is_started_at_once_again(monkeypatch):
    monkeypatch.setattr(supervisor, "_MAX_PAUSE", 0.0)
    monkeypatch.setattr(supervisor, "_MIN_PAUSE", 0.25)
    stop = Pauses(3)
    worker_that(READY, stop).run()
    assert stop.noted[0] == 0.25
    assert set(stop.noted[1:]) == {0.25}


@pytest.mark.parametrize("end", ["os.abort()", "sys.exit(3)"])
def test_how_a_worker_ended_is_told_before_the_next_one_starts(end):
    codes: list[int] = []
    worker_that(f"import os, sys; {READY}; {end}", Pauses(2), codes.append).run()
    assert codes[:2] == [-signal.SIGABRT if "abort" in end else 3] * 2


def test_a_fitting_request_ends_a_worker_once(tmp_path, monkeypatch):
    """A kernel aborts on a rank that the signature allows; the supervisor remembers it."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    base = tmp_path / "m"
    saved_models.stateless(
        base / "1",
        tf.TensorSpec(None, tf.float32, "x"),
        serving_default=lambda x: {
            "y": tf.nn.relu(tf.nn.conv2d(x, tf.ones([3, 3, 1, 4]), 1, "SAME"))
        },
    )
    port = free_port()
    with started(f"--port={port}", f"--model_base_path={base}", "--model_name=m") as server:
        server.wait_for("Running gRPC ModelServer")
        address = f"localhost:{port}"
        good, fatal = np.ones((1, 8, 8, 1), np.float32), np.ones((8, 8, 1), np.float32)
        with Client(address, timeout=60, attempts=1) as client:
            assert client.predict("m", {"x": good})["y"].shape == (1, 8, 8, 4)
            with pytest.raises(ServingError) as lost:
                client.predict("m", {"x": fatal})
            assert lost.value.code is grpc.StatusCode.UNAVAILABLE
        server.wait_for("worker 0 ended by SIGABRT; it is restarted")
        server.wait_for("Running gRPC ModelServer")
        with Client(address, timeout=60, attempts=1) as client:
            for _ in range(2):
                with pytest.raises(ServingError) as refused:
                    client.predict("m", {"x": fatal})
                assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
                assert refused.value.message == (
                    "TensorFlow aborts (SIGABRT) on these inputs: x has shape [8,8,1] where the "
                    "signature declares any"
                )
            assert client.predict("m", {"x": good})["y"].shape == (1, 8, 8, 4)
    assert "Starting a process that starts others" not in server.log, "it was forked"


def test_a_worker_that_fails_before_it_is_ready_ends_the_server_with_its_code():
    stop = Pauses(2)
    worker = worker_that("import sys; sys.exit(7)", stop)
    worker.run()
    assert stop.is_set()
    assert (worker.exit_code, stop.noted) == (7, [])


@pytest.mark.parametrize("was_ready", [True, False])
def test_a_process_that_cannot_be_started_is_one_that_ended(tmp_path, was_ready, caplog):
    stop = Pauses(2)
    worker = worker_that(READY, stop)
    worker._was_ready = was_ready
    worker._command = [str(tmp_path / "missing")]
    worker.run()
    assert stop.is_set()
    assert worker.exit_code == (0 if was_ready else 1)
    assert stop.noted == ([0.5, 1] if was_ready else [])
    assert "worker 0 could not be started: [Errno 2]" in caplog.text


def test_workers_are_asked_to_end_at_the_same_time():
    stop = threading.Event()
    program = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: None); "
        f"{READY}; signal.pause(); time.sleep(60)"
    )
    workers = [worker_that(program, stop) for _ in range(3)]
    for worker in workers:
        worker.start()
    eventually(lambda: all(worker._was_ready for worker in workers))
    stop.set()
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + 0.2
    for worker in workers:
        worker.end(deadline)
        assert worker._process
        assert worker._process.returncode == -signal.SIGKILL
    assert time.monotonic() < deadline + 30


def test_a_port_is_held_for_the_workers_alone():
    port = free_port()
    with _reserved(port), pytest.raises(UserError, match=f"port {port} cannot be bound"):
        _reserved(port)
    _reserved(port).close()


@pytest.mark.parametrize("reason", ["Permission denied", "No space left on device"])
def test_a_folder_for_temporary_files_is_needed(monkeypatch, reason):
    def refuse(**_: object) -> None:
        raise OSError(1, reason)

    monkeypatch.setattr(supervisor.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(UserError) as raised:
        _shared_folder()
    assert str(raised.value) == (
        f"no folder for temporary files can be written ({reason}); set TMPDIR to one"
    )


def test_connections_that_linger_are_in_nobodys_way():
    with socket.create_server(("127.0.0.1", 0)) as former:
        port = former.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            former.accept()[0].close()
    _reserved(port).close()
