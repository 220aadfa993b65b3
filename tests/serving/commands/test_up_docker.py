"""`up`, `down`, `logs`, `status` and rollouts with a real Docker daemon, whose image is ours."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest

from serving.client import Client
from serving.engines import docker, images, record
from serving.engines.ports import free_ports
from tests.serving import docker_daemon, rollouts, saved_models
from tests.serving.commands.foreground import serving_in_foreground
from tests.serving.commands.test_rollout import Load
from tests.serving.docker_daemon import inspect, process_in
from tests.serving.rollouts import NAME

X = {"x": np.array([2.0], np.float32)}
IMAGE = images.tensorflow_serving(gpu=False)


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    with docker_daemon.daemon() as address:
        yield address


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`digits` version 1, which is champion, and 2, the challenger."""
    folder = tmp_path_factory.mktemp("store")
    uri = rollouts.store_of(folder)
    for number, alias in ((1, "champion"), (2, "challenger")):
        saved = saved_models.half_plus_two(folder / f"made{number}", 0.5, 1.0 + number)
        rollouts.record_golden(saved, 0.5, 1.0 + number)
        rollouts.register(uri, folder, saved)
        mlflow.MlflowClient(uri, uri).set_registered_model_alias(NAME, alias, str(number))
    return uri


@pytest.fixture
def models(tmp_path: Path, daemon: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with a model, in a folder whose name needs care; no container is left of it."""
    monkeypatch.setenv("DOCKER_HOST", daemon)
    docker_daemon.use(daemon, "small")
    folder = tmp_path / "the models, all"
    saved_models.half_plus_two(folder / NAME / "1")
    (folder / "models.config").write_text(
        f'model_config_list {{ config {{ name: "{NAME}" base_path: "{folder}/{NAME}" '
        'model_platform: "tensorflow" model_version_policy { specific { versions: 1 } } } }\n'
    )
    yield folder
    if left := record.read(folder):
        left.stop()
    assert docker_daemon.docker(daemon, "ps", "--all", "--quiet") == ""


def up(models: Path, *more: object) -> tuple[list[object], int, int]:
    """Returns the arguments that serve the repository by Docker, and both ports."""
    port, rest_port = free_ports(2)
    arguments = ["up", "--repository", models, "--port", port, "--rest_port", rest_port]
    return [*arguments, "--engine", "docker", *more], port, rest_port


def answers(port: int) -> float:
    with Client(f"localhost:{port}", timeout=20, label="") as client:
        return client.predict(NAME, X)["y"].item()


def test_a_detached_container_serves_until_it_is_stopped(run, models, daemon):
    docker_daemon.use(daemon, "own")
    arguments, port, rest_port = up(models, "--detach")
    code, printed, errors = run(*arguments)
    assert (code, errors) == (0, "")
    assert printed.startswith("engine docker: docker answers; nvidia-smi is not on the PATH\n")
    assert "  this machine alone; --host 0.0.0.0 lets others in\n" in printed
    assert answers(port) == 3.0

    name = docker.name_of(models, port)
    found = inspect(daemon, name)
    assert found["Config"]["Image"] == IMAGE
    assert found["Config"]["User"] == f"{os.getuid()}:{os.getgid()}"
    assert found["HostConfig"]["PortBindings"] == {
        f"{each}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(each)}]
        for each in (port, rest_port)
    }
    mounts = {mount["Destination"]: mount for mount in found["Mounts"]}
    assert str(models) in mounts
    assert not any(mount["RW"] for mount in mounts.values())
    with pytest.raises(AssertionError, match="Read-only file system"):
        docker_daemon.docker(daemon, "exec", name, "touch", f"{models}/{NAME}/2")
    # Other interfaces of this machine, as the container's network is one, do not reach it.
    gateway = found["NetworkSettings"]["Gateway"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((gateway, port), timeout=5)

    code, printed, _ = run("status", "--repository", models)
    assert f"engine docker, gRPC localhost:{port}, REST http://localhost:{rest_port}" in printed
    assert f"container {name}, process" in printed
    assert "AVAILABLE" in printed
    code, printed, _ = run("logs", "--repository", models)
    assert code == 0
    assert "Running gRPC ModelServer at 0.0.0.0:" in printed
    code, _, errors = run(*up(models, "--detach")[0])
    assert (code, "is running already: docker" in errors) == (2, True)

    assert run("down", "--repository", models) == (
        0,
        f"docker at localhost:{port} is stopped\n",
        "",
    )
    assert run("down", "--repository", models) == (0, f"no server of {models} is running\n", "")


@pytest.mark.slow
def test_a_container_runs_as_the_user_who_starts_it(run, models, daemon, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 65534)
    arguments, port, _ = up(models, "--detach")
    code, _, errors = run(*arguments)
    assert (code, errors) == (0, "")
    first = process_in(daemon, docker.name_of(models, port))
    assert {each.uids().real for each in (first, *first.children(recursive=True))} == {65534}


@pytest.mark.slow
def test_a_container_outlives_the_client_that_started_it(run, models, daemon):
    arguments, port, _ = up(models, "--detach")
    assert run(*arguments)[0] == 0
    running = record.read(models)
    assert running is not None
    assert running.process is not None
    running.process.kill()
    running.process.wait()
    code, printed, _ = run("status", "--repository", models)
    assert f"container {docker.name_of(models, port)}, log" in printed
    code, _, errors = run(*up(models, "--detach")[0])
    assert (code, "is running already" in errors) == (2, True)
    assert run("down", "--repository", models)[0] == 0
    assert run(*arguments)[0] == 0, "its name and its ports are free at once"


@pytest.mark.slow
def test_after_a_killed_container_the_next_one_starts(run, models, daemon):
    arguments, port, _ = up(models, "--detach")
    assert run(*arguments)[0] == 0
    docker_daemon.docker(daemon, "kill", docker.name_of(models, port))
    assert run(*arguments)[0] == 0
    running = record.read(models)
    assert running is not None
    running.wait_until_ready(5)


def test_a_model_that_does_not_load_is_told_and_leaves_no_container(run, models, daemon):
    docker_daemon.use(daemon, "own")
    graph = models / NAME / "1" / "saved_model.pb"
    graph.write_bytes(b"no graph")
    code, _, errors = run(*up(models, "--detach", "--timeout", "6")[0])
    assert code == 1
    assert errors.startswith("error: the model server ")
    assert not (models / ".server.json").exists()


@pytest.fixture
def foreground(models):
    """Serves in the foreground; yields the process when it has said that it is ready."""
    arguments, port, _ = up(models)
    with serving_in_foreground(arguments, DOCKER_HOST=os.environ["DOCKER_HOST"]) as process:
        yield process, docker.name_of(models, port)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_container_in_the_foreground(foreground, models, daemon, number):
    process, name = foreground
    inside = process_in(daemon, name)
    process.send_signal(number)
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    assert not (models / ".server.json").exists()
    assert not inside.is_running()


@pytest.mark.slow
def test_a_container_that_is_killed_ends_the_command(foreground, models, daemon):
    process, name = foreground
    docker_daemon.docker(daemon, "kill", name)
    assert process.wait(60) == 1
    assert "error: the model server ended by itself; its log, " in process.stderr.read()
    assert not (models / ".server.json").exists()


@pytest.mark.slow
def test_a_rollout_on_containers_loses_no_request(run, daemon, store, tmp_path, monkeypatch):
    """Candidates are tried in a container of their own, while another one serves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", daemon)
    docker_daemon.use(daemon, "own")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    code, printed, errors = run("deploy", NAME, "--engine", "docker")
    assert (code, errors) == (0, "")
    assert printed.startswith("2 golden requests answered within tolerance")
    arguments, port, _ = up(Path("models"), "--detach")
    assert run(*arguments)[0] == 0
    try:
        with Load(f"localhost:{port}") as load:
            code, printed, errors = run(
                "deploy", NAME, "--alias", "challenger", "--engine", "docker"
            )
            assert (code, errors) == (0, "")
            assert "labels: canary 2, stable 1" in printed
            assert run("promote", NAME)[0] == 0
            assert run("status", NAME)[0] == 0
            assert run("rollback", NAME)[0] == 0
        assert load.failures == []
        assert load.answers["default"] == load.answers["split"] == {3.0, 4.0}
    finally:
        run("down")
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    assert docker_daemon.docker(daemon, "ps", "--all", "--quiet") == ""
