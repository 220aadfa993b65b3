"""`python -m serving up | down | logs | status`: what they print, start, stop and leave behind."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serving.commands.up import _reach
from serving.engines import docker, record
from serving.engines.ports import free_port
from serving.engines.process import ServerProcess
from tests.serving import fake_programs
from tests.serving.certificates import certified
from tests.serving.commands.foreground import serving_in_foreground

# A server over TLS that may ask for clients' certificates, with files beside its configuration.
ENCRYPTED = """
import signal, sys
from concurrent import futures
from pathlib import Path
import grpc
flags = dict(flag[2:].partition("=")[::2] for flag in sys.argv[1:])
config = Path(flags["ssl_config_file"])
key, own, authority = (
    (config.parent / name).read_bytes() for name in ("server.key", "server.pem", "authority.pem")
)
verify = "client_verify" in config.read_text()
server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_secure_port(
    "0.0.0.0:" + flags["port"],
    grpc.ssl_server_credentials([(key, own)], authority if verify else None, verify),
)
server.start()
signal.pause()
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, with a small server as tensorflow_model_server."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("TENSORFLOW_MODEL_SERVER", raising=False)
    fake_programs.tensorflow_model_server(folder, fake_programs.small_server(folder))
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Path]:
    """A repository whose configuration names no model; what serves it is ended."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "models.config").write_text("model_config_list {}\n")
    yield folder
    if (folder / ".server.json").exists() and (left := record.read(folder)):
        left.stop()


def up(models: Path, *more: object) -> list[object]:
    """Returns the arguments that serve the repository on ports that are free."""
    return ["up", "--repository", models, "--port", free_port(), "--rest_port", free_port(), *more]


def ended(process: psutil.Process) -> bool:
    """Whether the process is gone, or waits for the test, its parent, to reap it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_detached_server_is_known_to_the_other_commands_until_it_is_stopped(run, path, models):
    arguments = up(models, "--detach")
    port, rest_port = arguments[4], arguments[6]
    code, printed, errors = run(*arguments)
    assert (code, errors) == (0, "")
    assert printed.splitlines() == [
        f"engine binary: {path}/tensorflow_model_server is there, from the PATH; docker is missing:"
        " there is no docker on the PATH",
        f"ready, serving {models}",
        f"  gRPC  localhost:{port}",
        f"  REST  http://localhost:{rest_port}/v1/models/MODEL",
        "  all interfaces: TensorFlow Serving has no flag to listen on one, so mind firewalls",
        "next:",
        f"  python -m serving status --repository {models}",
        f"  python -m serving logs --repository {models}",
        f"  python -m serving down --repository {models}",
    ]
    written = json.loads((models / ".server.json").read_text())
    process = psutil.Process(written["process"])
    assert (written["engine"], written["port"], written["rest_port"]) == ("binary", port, rest_port)
    assert process.is_running()

    assert run("status", "--repository", models) == (
        0,
        f"engine binary, gRPC localhost:{port}, REST http://localhost:{rest_port}, "
        f"process {process.pid}, log {models}/server.log\n",
        "",
    )
    code, printed, _ = run("logs", "--repository", models)
    assert code == 0
    assert printed.startswith("started with {'port':")

    code, printed, errors = run(*up(models, "--detach"))
    assert (code, errors) == (
        2,
        f"error: a server of {models} is running already: binary at localhost:{port}; stop it "
        f"with: python -m serving down --repository {models}\n",
    )

    assert run("down", "--repository", models) == (
        0,
        f"binary at localhost:{port} is stopped\n",
        "",
    )
    assert ended(process)
    assert not (models / ".server.json").exists()
    assert run("down", "--repository", models) == (0, f"no server of {models} is running\n", "")
    assert run("logs", "--repository", models)[1].startswith("started with")


def test_a_container_is_stopped_by_its_name(run, path, models):
    fake_programs.docker(path, server=fake_programs.small_server(path))
    arguments = up(models, "--detach", "--engine", "docker")
    assert run(*arguments)[0] == 0
    name = docker.name_of(models, int(str(arguments[4])))
    assert f"container {name}, process" in run("status", "--repository", models)[1]
    assert run("down", "--repository", models)[0] == 0
    assert ["stop", "-t", "30", name] in fake_programs.calls(path, "docker")


def test_a_container_outlives_the_client_that_started_it(run, path, models):
    fake_programs.docker(path, server=fake_programs.small_server(path))
    assert run(*up(models, "--detach", "--engine", "docker"))[0] == 0
    written = json.loads((models / ".server.json").read_text())
    # The record's process is another one now: the container is what counts.
    written["created"] -= 1000
    (models / ".server.json").write_text(json.dumps(written))
    code, _, errors = run(*up(models, "--detach"))
    assert code == 2
    assert "is running already" in errors
    assert run("down", "--repository", models)[0] == 0
    assert not (models / ".server.json").exists()
    assert not psutil.pid_exists(written["process"]) or ended(psutil.Process(written["process"]))


def test_flags_of_tensorflow_serving_are_passed_on(run, path, models):
    assert run(*up(models, "--detach", "--", "--enable_batching", "--grpc_max_threads=64"))[0] == 0
    (call,) = fake_programs.calls(path, "tensorflow_model_server")
    assert call[-2:] == ["--enable_batching", "--grpc_max_threads=64"]


def test_a_word_that_is_no_flag_is_refused(run, models):
    code, _, errors = run("up", "--repository", models, "digits")
    assert code == 2
    assert errors == "error: flags of TensorFlow Serving begin with --, unlike 'digits'\n"


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_a_server_that_cannot_start_leaves_nothing_behind(run, path, models, detach):
    fake_programs.small_server(path, fake_programs.FAILS)
    code, _, errors = run(*up(models, *detach))
    assert code == 1
    assert errors.startswith("error: the model server ended before it was ready; its log, ")
    assert errors.endswith("Failed to start server. Error: NOT_FOUND: no such thing\n")
    assert not (models / ".server.json").exists()


def test_a_server_that_is_not_ready_in_time_is_stopped(run, path, models):
    fake_programs.small_server(path, fake_programs.NEVER_READY)
    code, _, errors = run(*up(models, "--detach", "--timeout", "0.5"))
    assert code == 1
    assert "is not ready after 0.5 s" in errors
    assert not (models / ".server.json").exists()
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"--model_config_file={models}/models.config" in (process.info["cmdline"] or ())
        and process.status() != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize(
    ("host", "reach", "address"),
    [
        ("127.0.0.1", "this machine alone; --host 0.0.0.0 lets others in", "localhost:8500"),
        ("::1", "this machine alone; --host 0.0.0.0 lets others in", "[::1]:8500"),
        ("0.0.0.0", "all interfaces: other machines reach it", "localhost:8500"),
        ("10.0.0.7", "the interface of 10.0.0.7", "10.0.0.7:8500"),
    ],
)
def test_who_reaches_a_server_is_said(host, reach, address):
    running = ServerProcess("embedded", None, 8500, 0, Path("log"), host=host)
    assert _reach(running) == reach
    assert running.address == address


def test_a_host_is_an_address(run, models, capsys):
    with pytest.raises(SystemExit) as ended:
        run("up", "--repository", models, "--host", "everywhere")
    assert ended.value.code == 2
    assert "argument --host: it must be an IP address, not 'everywhere'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--engine", "docker"), "the engine docker is missing: there is no docker on the PATH"),
        (("--gpu",), "there is no GPU: nvidia-smi is not on the PATH"),
        (("--port", "8501"), "gRPC and REST cannot share port 8501"),
    ],
)
def test_a_choice_that_cannot_work_is_one_sentence(run, path, models, arguments, sentence):
    code, _, errors = run("up", "--repository", models, *arguments)
    assert code == 2
    assert errors.startswith(f"error: {sentence}")
    assert errors.count("\n") == 1


def test_without_a_repository_the_sentence_names_deploy(run, path, tmp_path):
    code, _, errors = run("up", "--repository", tmp_path / "nowhere")
    assert code == 2
    assert errors.startswith(f"error: there is no folder {tmp_path}/nowhere; deploy a model first")


@pytest.fixture
def foreground(path, models):
    """Serves in the foreground; yields the process when it has said that it is ready."""
    with serving_in_foreground(up(models), PATH=str(path)) as process:
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_server_in_the_foreground(foreground, models, number):
    server = json.loads((models / ".server.json").read_text())["process"]
    foreground.send_signal(number)
    assert foreground.wait(60) == 0
    assert foreground.stderr.read() == ""
    assert not (models / ".server.json").exists()
    assert not psutil.pid_exists(server)


def test_a_server_that_ends_by_itself_ends_the_command(foreground, models):
    server = json.loads((models / ".server.json").read_text())["process"]
    os.kill(server, signal.SIGKILL)
    assert foreground.wait(60) == 1
    assert "error: the model server ended by itself; its log, " in foreground.stderr.read()
    assert not (models / ".server.json").exists()


def test_down_ends_an_up_in_the_foreground_without_a_complaint(run, foreground, models):
    assert run("down", "--repository", models)[0] == 0
    assert foreground.wait(60) == 0
    assert foreground.stderr.read() == ""


def test_another_users_server_stays_and_so_does_its_record(run, path, models, monkeypatch):
    assert run(*up(models, "--detach"))[0] == 0

    def denied(process: psutil.Process, _: int) -> None:
        raise psutil.AccessDenied(process.pid)

    with monkeypatch.context() as patched:
        patched.setattr(psutil.Process, "send_signal", denied)
        code, printed, errors = run("down", "--repository", models)
    assert (code, printed) == (2, "")
    assert "belongs to another user, who alone may stop it" in errors
    assert record.read(models) is not None


@pytest.mark.parametrize(
    ("flag", "instead"),
    [
        ("--port=9000", "--port"),
        ("--rest_api_port=9001", "--rest_port"),
        ("--model_config_file=/etc/models", "--repository"),
    ],
)
def test_flags_that_up_sets_itself_are_refused(run, models, flag, instead):
    code, _, errors = run(*up(models, "--", flag))
    assert code == 2
    name = flag.partition("=")[0]
    assert errors == f"error: {name} is set by up itself; give {instead} before the --\n"


@pytest.mark.parametrize("clients", ["", "client_verify: true\n"])
def test_an_encrypted_server_becomes_ready(run, path, models, tmp_path, clients):
    fake_programs.small_server(path, ENCRYPTED)
    authority = certified("authority")
    server = certified("localhost", authority)
    (tmp_path / "server.key").write_bytes(server.key)
    (tmp_path / "server.pem").write_bytes(server.certificate)
    (tmp_path / "authority.pem").write_bytes(authority.certificate)
    config = tmp_path / "ssl.config"
    config.write_text(clients)
    code, printed, errors = run(
        *("up", "--repository", models, "--port", free_port(), "--rest_port", "0", "--detach"),
        *("--timeout", "60", "--", f"--ssl_config_file={config}"),
    )
    assert (code, errors) == (0, "")
    assert "ready, serving" in printed


def test_the_log_is_followed_until_the_server_ends(run, path, models):
    assert run(*up(models, "--detach"))[0] == 0
    running = record.read(models)
    assert running is not None

    def write_and_stop() -> None:
        with running.log.open("a") as log:
            log.write("a later line\n")
        running.stop()

    timer = threading.Timer(0.2, write_and_stop)
    timer.start()
    code, printed, _ = run("logs", "--follow", "--repository", models)
    timer.join()
    assert code == 0
    assert printed.endswith("a later line\n")


def test_a_log_that_cannot_be_read_is_named(run, models):
    (models / "server.log").mkdir()
    code, _, errors = run("logs", "--repository", models)
    assert (code, errors) == (2, f"error: {models}/server.log cannot be read: Is a directory\n")


def test_without_a_log_the_sentence_names_up(run, models):
    code, _, errors = run("logs", "--repository", models)
    assert code == 2
    assert errors == (
        f"error: there is no log {models}/server.log; start a server: python -m serving up\n"
    )
