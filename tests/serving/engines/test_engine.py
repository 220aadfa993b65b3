"""Which engine is taken and why, what it is told, how it starts, fails and ends."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import threading
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest

from serving.engines import docker, images
from serving.engines.engine import MONITORING_CONFIG, Engine, choose
from serving.engines.ports import free_port
from serving.engines.process import ServerProcess
from serving.errors import ServingError, UserError
from tests.serving import fake_programs


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("TENSORFLOW_MODEL_SERVER", raising=False)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository whose configuration names no model."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "models.config").write_text("model_config_list {}\n")
    return folder


def started(
    engine: Engine, models: Path, *, rest: bool = False, options: tuple[str, ...] = ()
) -> ServerProcess:
    return engine.start(
        models,
        port=free_port(),
        rest_port=free_port() if rest else 0,
        log=models.parent / "server.log",
        options=options,
    )


def test_docker_with_a_gpu_comes_first(path):
    fake_programs.docker(path, runtimes=("runc", "nvidia"))
    fake_programs.nvidia_smi(path, "GPU 0: NVIDIA H100 (UUID: GPU-1)\n")
    fake_programs.tensorflow_model_server(path)
    engine = choose()
    assert (engine.name, engine.gpu) == ("docker", True)
    assert engine.image == images.read()["TENSORFLOW_SERVING_GPU_IMAGE"]
    assert engine.reason == "docker answers and there is a GPU"


@pytest.mark.parametrize(
    ("listed", "runtimes", "why"),
    [
        (None, ("runc", "nvidia"), "nvidia-smi is not on the PATH"),
        ("", ("runc", "nvidia"), "nvidia-smi lists no GPU"),
        ("GPU 0: NVIDIA H100\n", ("runc",), "docker has no NVIDIA Container Toolkit"),
    ],
)
def test_docker_without_a_gpu_takes_the_image_for_processors_and_says_why(
    path, listed, runtimes, why
):
    fake_programs.docker(path, runtimes=runtimes)
    if listed is not None:
        fake_programs.nvidia_smi(path, listed)
    engine = choose()
    assert (engine.name, engine.gpu) == ("docker", False)
    assert engine.image == images.read()["TENSORFLOW_SERVING_IMAGE"]
    assert engine.reason == f"docker answers; {why}"
    with pytest.raises(UserError, match=why):
        choose(gpu=listed is not None, name="docker") if listed else choose(gpu=True)


def test_a_docker_without_a_daemon_is_missing_and_the_binary_is_next(path):
    fake_programs.docker(path, daemon=False)
    program = fake_programs.tensorflow_model_server(path)
    engine = choose()
    assert (engine.name, engine.command) == ("binary", (str(program),))
    assert engine.reason == (
        f"{program} is there, from the PATH; docker is missing: docker has no daemon: "
        "Cannot connect to the Docker daemon"
    )


def test_a_docker_without_its_image_is_missing_and_the_next_engine_is_taken(path):
    fake_programs.docker(path, pullable=False)
    engine = choose()
    assert engine.name == "embedded"
    assert "docker is missing: its image cannot be pulled" in engine.reason
    assert choose("docker").name == "docker", "who asks for it is told by its start"


def test_containers_of_folders_of_the_same_name_have_names_of_their_own():
    one, other = (docker.name_of(Path(f"/srv/{who}/models"), 8500) for who in "ab")
    assert one != other
    assert one.startswith("keras-foundry-models-")
    assert one.endswith("-8500")


def test_the_variable_names_a_binary_elsewhere(path, tmp_path, monkeypatch):
    fake_programs.tensorflow_model_server(path)
    other = fake_programs.tensorflow_model_server(tmp_path / "elsewhere")
    monkeypatch.setenv("TENSORFLOW_MODEL_SERVER", str(other))
    assert choose("binary").command == (str(other),)


def test_without_anything_else_the_embedded_server_is_taken(path):
    engine = choose()
    assert engine.name == "embedded"
    assert engine.command == (sys.executable, "-m", "serving.server")
    assert engine.reason == (
        "it is part of this project; docker is missing: there is no docker on the PATH; binary is "
        "missing: tensorflow_model_server is neither on the PATH nor in $TENSORFLOW_MODEL_SERVER"
    )


@pytest.mark.parametrize(
    ("name", "gpu", "variable", "sentence"),
    [
        ("docker", False, "", "the engine docker is missing: there is no docker on the PATH"),
        (
            *("binary", False, ""),
            "the engine binary is missing: tensorflow_model_server is neither on the PATH nor in "
            "$TENSORFLOW_MODEL_SERVER",
        ),
        (
            *("binary", False, "/no/where"),
            "the engine binary is missing: $TENSORFLOW_MODEL_SERVER is '/no/where', which is no "
            "program",
        ),
        ("auto", True, "", "there is no GPU: nvidia-smi is not on the PATH"),
        ("podman", False, "", "no engine 'podman'; there are: auto, docker, binary, embedded"),
    ],
)
def test_a_missing_engine_is_one_sentence(path, monkeypatch, name, gpu, variable, sentence):
    if variable:
        monkeypatch.setenv("TENSORFLOW_MODEL_SERVER", variable)
    with pytest.raises(UserError) as raised:
        choose(name, gpu=gpu)
    assert str(raised.value) == sentence


def test_a_binary_with_a_gpu_is_taken_at_its_word(path):
    fake_programs.nvidia_smi(path, "GPU 0: NVIDIA H100\n")
    fake_programs.tensorflow_model_server(path)
    assert choose(gpu=True).reason.startswith(
        f"{path}/tensorflow_model_server is there, from the PATH; its build decides whether it "
        "uses the GPU; docker is missing"
    )


def test_every_engine_gets_the_same_flags_and_options_come_last(path, models):
    server = fake_programs.small_server(path)
    fake_programs.docker(path, server=server, runtimes=("nvidia",))
    fake_programs.nvidia_smi(path, "GPU 0: NVIDIA H100\n")
    fake_programs.tensorflow_model_server(path, server)
    parameters = models.parent / "batching.txt"
    parameters.touch()
    options = ("--enable_batching=true", f"--batching_parameters_file={parameters}")
    flags = {}
    for name in ("docker", "binary"):
        with started(choose(name), models, rest=True, options=options) as running:
            running.wait_until_ready(60)
            flags[name] = [
                f"--port={running.port}",
                f"--rest_api_port={running.rest_port}",
                f"--model_config_file={models}/models.config",
                "--model_config_file_poll_wait_seconds=2",
                "--allow_version_labels_for_unavailable_models=true",
                f"--monitoring_config_file={MONITORING_CONFIG}",
                "--grpc_max_threads=128",
                *options,
            ]
    assert fake_programs.calls(path, "tensorflow_model_server") == [flags["binary"]]
    run = next(call for call in fake_programs.calls(path, "docker") if call[0] == "run")
    port, rest_port = (flag.partition("=")[2] for flag in flags["docker"][:2])
    monitoring = MONITORING_CONFIG
    assert run == [
        *("run", "--rm", "--name", docker.name_of(models, int(port))),
        *("--label", f"keras-foundry.repository={models}", "--init"),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--gpus", "all"),
        *("--publish", f"127.0.0.1:{port}:{port}"),
        *("--publish", f"127.0.0.1:{rest_port}:{rest_port}"),
        *("--mount", f"type=bind,source={models},target={models},readonly"),
        *("--mount", f"type=bind,source={monitoring},target={monitoring},readonly"),
        *("--mount", f"type=bind,source={parameters},target={parameters},readonly"),
        *("--entrypoint", "tensorflow_model_server"),
        images.read()["TENSORFLOW_SERVING_GPU_IMAGE"],
        *flags["docker"],
    ]


def test_a_configuration_elsewhere_is_mounted_with_its_folder(path, models, tmp_path):
    server = fake_programs.small_server(path)
    fake_programs.docker(path, server=server)
    other = tmp_path / "other"
    other.mkdir()
    (other / "two.config").touch()
    with choose("docker").start(
        models, config=other / "two.config", port=free_port(), rest_port=0, log=tmp_path / "log"
    ) as running:
        running.wait_until_ready(60)
    run = next(call for call in fake_programs.calls(path, "docker") if call[0] == "run")
    assert f"type=bind,source={other},target={other},readonly" in run
    assert f"--model_config_file={other}/two.config" in run


def test_an_image_is_pulled_once(path, models):
    fake_programs.docker(path, server=fake_programs.small_server(path))
    for _ in range(2):
        with started(choose("docker"), models) as running:
            running.wait_until_ready(60)
    pulls = [call for call in fake_programs.calls(path, "docker") if call[0] == "pull"]
    assert pulls == [["pull", images.read()["TENSORFLOW_SERVING_IMAGE"]]]


def test_an_image_out_of_reach_is_one_sentence(path, models):
    fake_programs.docker(path, pullable=False)
    with pytest.raises(UserError, match=r"^the image tensorflow/serving:\S+ is not here and"):
        started(choose("docker"), models)


@pytest.mark.parametrize("name", ["docker", "binary"])
def test_a_server_that_ends_early_shows_the_end_of_its_log(path, models, name):
    server = fake_programs.small_server(path, fake_programs.FAILS)
    fake_programs.docker(path, server=server)
    fake_programs.tensorflow_model_server(path, server)
    with started(choose(name), models) as running:
        with pytest.raises(ServingError) as raised:
            running.wait_until_ready(60)
        assert not running.alive
    assert raised.value.code is grpc.StatusCode.ABORTED
    assert raised.value.message == (
        f"the model server ended before it was ready; its log, {models.parent}/server.log, ends "
        "with:\na long story\nFailed to start server. Error: NOT_FOUND: no such thing"
    )


def test_a_server_that_is_never_ready_is_left_running_after_the_timeout(path, models):
    fake_programs.tensorflow_model_server(
        path, fake_programs.small_server(path, fake_programs.NEVER_READY)
    )
    with started(choose("binary"), models) as running:
        while "still loading" not in running.log_end():
            threading.Event().wait(0.05)
        with pytest.raises(
            ServingError, match=r"not ready after 0\.2 s.*\nstill loading"
        ) as raised:
            running.wait_until_ready(0.2)
        assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert running.alive
    assert not running.alive


def test_a_port_that_answers_one_protocol_is_not_ready(path, models):
    """Docker's proxy accepts connections before the server in the container listens."""
    fake_programs.tensorflow_model_server(
        path, fake_programs.small_server(path, fake_programs.NEVER_READY)
    )
    with started(choose("binary"), models) as running, socket.socket() as proxy:
        proxy.bind(("127.0.0.1", running.port))
        proxy.listen()
        with pytest.raises(ServingError, match="not ready"):
            running.wait_until_ready(0.2)


def test_a_deaf_server_is_killed(path, models):
    fake_programs.tensorflow_model_server(
        path, fake_programs.small_server(path, fake_programs.DEAF)
    )
    running = started(choose("binary"), models)
    while "deaf" not in running.log_end():
        threading.Event().wait(0.05)
    running.stop(0.2)
    assert not running.alive
    assert running.process is not None
    assert not psutil.pid_exists(running.process.pid)


def test_stopping_twice_is_fine(path, models):
    fake_programs.docker(path, server=fake_programs.small_server(path))
    running = started(choose("docker"), models)
    running.wait_until_ready(60)
    running.stop()
    running.stop()
    assert not running.alive


def test_without_a_configuration_the_sentence_names_deploy(path, tmp_path):
    with pytest.raises(UserError, match=r"^there is no \S+/models\.config; .*serving deploy MODEL"):
        choose().start(tmp_path, port=8500, rest_port=8501, log=tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_a_taken_port_is_named(path, models):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"^port {port} cannot be bound"):
            choose().start(models, port=port, rest_port=0, log=models / "log")


@pytest.mark.parametrize(
    ("port", "rest_port", "sentence"),
    [
        (8500, 8500, "gRPC and REST cannot share port 8500"),
        (0, 8501, "a port is a number from 1 to 65535, not 0"),
        (8500, 65536, "a port is a number from 1 to 65535, not 65536"),
    ],
)
def test_ports_that_cannot_be_are_refused(path, models, port, rest_port, sentence):
    with pytest.raises(UserError, match=sentence):
        choose().start(models, port=port, rest_port=rest_port, log=models / "log")


def test_rest_is_not_served_without_the_encryption_that_was_asked_for(path, models):
    fake_programs.tensorflow_model_server(path)
    with pytest.raises(UserError) as raised:
        choose("binary").start(
            models, port=1, rest_port=2, log=models, options=["--rest_api_ssl_config_file=tls"]
        )
    assert str(raised.value) == (
        "TensorFlow Serving does not know --rest_api_ssl_config_file, and REST would not be "
        "encrypted; give --engine embedded, or --rest_port 0"
    )


def test_requests_are_not_served_without_the_log_that_was_asked_for(path, models):
    fake_programs.tensorflow_model_server(path)
    with pytest.raises(UserError, match="does not know --request_log and has no request log"):
        choose("binary").start(
            models, port=1, rest_port=2, log=models, options=["--request_log=/tmp/log"]
        )


def test_a_container_serves_models_under_the_path_that_they_have_outside(path, tmp_path):
    from serving.client import Client
    from tests.serving.saved_models import half_plus_two

    models = tmp_path / "models"
    half_plus_two(models / "half_plus_two" / "1")
    (models / "models.config").write_text(
        'model_config_list { config { name: "half_plus_two" model_platform: "tensorflow" '
        f'base_path: "{models}/half_plus_two" }} }}'
    )
    fake_programs.docker(path, server=fake_programs.OWN_SERVER)
    with started(choose(), models, rest=True) as running:
        running.wait_until_ready(120)
        with Client(running.address) as client:
            answer = client.predict("half_plus_two", {"x": np.array([4], np.float32)})
        assert answer["y"].tolist() == [4]
        page = http.client.HTTPConnection(running.rest_address)
        page.request("GET", "/monitoring/prometheus/metrics")
        assert b":tensorflow:serving:request_count" in page.getresponse().read()
        page.close()
    assert not running.alive
