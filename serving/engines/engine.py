"""Engines: the programs that can serve a model repository, and the choice among them.

All take TensorFlow Serving's flags and the same configuration file of the repository:

- docker: TensorFlow Serving's image, the one for GPUs where there is a GPU.
- binary: a `tensorflow_model_server` on the PATH or in `$TENSORFLOW_MODEL_SERVER`.
- embedded: the built-in server of this project, which is always available.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from serving.engines import docker, images
from serving.engines.ports import check_free
from serving.engines.process import LOOPBACK, ServerProcess
from serving.errors import UserError

ENGINES = ("docker", "binary", "embedded")

MODELS_CONFIG = "models.config"
MONITORING_CONFIG = Path(__file__).parent.parent / "docker" / "monitoring.config"
POLL_SECONDS = 2
# The default, four times the processors, answers RESOURCE_EXHAUSTED under concurrency.
MAX_THREADS = 128

_PROGRAM = "tensorflow_model_server"
_VARIABLE = "TENSORFLOW_MODEL_SERVER"
_REST_TLS = "--rest_api_ssl_config_file"
_REQUEST_LOG = "--request_log"


@dataclass(frozen=True)
class Engine:
    """A program that can serve.

    Attributes:
        name: One of `ENGINES`.
        reason: Why it was chosen, in one sentence.
        command: The program, without flags; empty with Docker.
        image: The container's image; empty without Docker.
        gpu: Whether the container gets the GPUs.
    """

    name: str
    reason: str
    command: tuple[str, ...] = ()
    image: str = ""
    gpu: bool = False

    def start(
        self,
        repository: Path,
        *,
        config: Path | None = None,
        host: str = LOOPBACK,
        port: int,
        rest_port: int,
        log: Path,
        options: Sequence[str] = (),
    ) -> ServerProcess:
        """Starts the server and returns at once; `ServerProcess.wait_until_ready` waits.

        The server outlives this process unless it is stopped.

        Args:
            repository: The model repository.
            config: File with a ModelServerConfig; the repository's `models.config` by default.
            host: IP address to listen on, 0.0.0.0 for all interfaces; the binary listens on all of
                them whatever it is, as TensorFlow Serving has no flag for that.
            port: TCP port for gRPC, which must be free.
            rest_port: TCP port for REST and the page for Prometheus; 0 for none.
            log: File for the server's output; it is overwritten.
            options: Further flags of TensorFlow Serving. They come last, so they take precedence.

        Raises:
            UserError: There is no configuration, a port is in use, or the image cannot be pulled.
        """
        repository = repository.absolute()
        config = repository / MODELS_CONFIG if config is None else config.absolute()
        if not config.is_file():
            raise UserError(
                f"there is no {config}; deploy a model first: "
                f"python -m serving deploy MODEL --repository {repository}"
            )
        ports = [port, rest_port] if rest_port else [port]
        if len(set(ports)) < len(ports):
            raise UserError(f"gRPC and REST cannot share port {port}; choose another one")
        if _given(options, _REQUEST_LOG) and self.name != "embedded":
            raise UserError(
                f"TensorFlow Serving does not know {_REQUEST_LOG} and has no request log; give "
                "--engine embedded"
            )
        if rest_port and _given(options, _REST_TLS) and self.name != "embedded":
            raise UserError(
                f"TensorFlow Serving does not know {_REST_TLS}, and REST would not be encrypted; "
                "give --engine embedded, or --rest_port 0"
            )
        for each in ports:
            check_free(each)
        flags = _flags(config, port, rest_port, options)
        if self.image:
            docker.pull(self.image)
            command = docker.command(
                self.image, flags, repository, host=host, ports=ports, gpu=self.gpu
            )
        else:
            own = [f"--host={host}"] if self.name == "embedded" else []
            command = [*self.command, *own, *flags]
        process = _started(command, log.absolute())
        container = docker.name_of(repository, port) if self.image else ""
        return ServerProcess(
            *(self.name, process, port, rest_port, log.absolute(), container),
            host=host,
            encrypted=bool(_given(options, "--ssl_config_file")),
            rest_encrypted=bool(_given(options, _REST_TLS)),
        )


def choose(name: str = "auto", *, gpu: bool = False) -> Engine:
    """Returns the engine of that name, or the best one that is available.

    Args:
        name: One of `ENGINES`, or "auto": Docker if its image is here or can be pulled, else the
            binary, else the embedded server.
        gpu: Whether a GPU is required. Otherwise Docker uses one if there is one.

    Raises:
        UserError: The engine, or the GPU, is missing.
    """
    if name not in ("auto", *ENGINES):
        raise UserError(f"no engine {name!r}; there are: auto, {', '.join(ENGINES)}")
    no_gpu = _without_gpu()
    if gpu and no_gpu:
        raise UserError(f"there is no GPU: {no_gpu}")
    lacking: list[str] = []
    for candidate in ENGINES if name == "auto" else (name,):
        found = _FIND[candidate](no_gpu, gpu)
        if isinstance(found, Engine) and found.image and name == "auto":
            try:
                docker.pull(found.image)
            except UserError:
                found = "its image cannot be pulled"
        if isinstance(found, Engine):
            return dataclasses.replace(found, reason="; ".join([found.reason, *lacking]))
        lacking.append(f"{candidate} is missing: {found}")
    raise UserError(f"the engine {'; '.join(lacking)}")


def _docker(no_gpu: str, gpu_required: bool) -> Engine | str:
    """Returns the engine, or why it is missing, as all of `_FIND` do."""
    if missing := docker.missing():
        return missing
    no_gpu = no_gpu or docker.without_gpu()
    if gpu_required and no_gpu:
        return no_gpu
    found = "docker answers and there is a GPU" if not no_gpu else f"docker answers; {no_gpu}"
    image = images.tensorflow_serving(gpu=not no_gpu)
    return Engine("docker", found, image=image, gpu=not no_gpu)


def _binary(no_gpu: str, gpu_required: bool) -> Engine | str:
    variable = os.environ.get(_VARIABLE, "")
    program = shutil.which(variable or _PROGRAM)
    if program is None:
        return (
            f"${_VARIABLE} is {variable!r}, which is no program"
            if variable
            else f"{_PROGRAM} is neither on the PATH nor in ${_VARIABLE}"
        )
    where = f"${_VARIABLE}" if variable else "the PATH"
    build = "; its build decides whether it uses the GPU" if gpu_required else ""
    return Engine("binary", f"{program} is there, from {where}{build}", (os.path.abspath(program),))


def _embedded(no_gpu: str, gpu_required: bool) -> Engine | str:
    if gpu_required and not _tensorflow_sees_a_gpu():
        return "TensorFlow sees no GPU; install its libraries: pip install '.[gpu]'"
    return Engine(
        "embedded", "it is part of this project", (sys.executable, "-m", "serving.server")
    )


_FIND = {"docker": _docker, "binary": _binary, "embedded": _embedded}


def _without_gpu() -> str:
    """Returns why there is no GPU; empty if there is one."""
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi is not on the PATH"
    done = subprocess.run(
        ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 and done.stdout.strip() else "nvidia-smi lists no GPU"


def _tensorflow_sees_a_gpu() -> bool:
    program = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    return done.returncode == 0 and int(done.stdout.strip().splitlines()[-1]) > 0


def _flags(config: Path, port: int, rest_port: int, options: Sequence[str]) -> list[str]:
    return [
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={config}",
        f"--model_config_file_poll_wait_seconds={POLL_SECONDS}",
        "--allow_version_labels_for_unavailable_models=true",
        f"--monitoring_config_file={MONITORING_CONFIG}",
        f"--grpc_max_threads={MAX_THREADS}",
        *options,
    ]


def _given(options: Sequence[str], flag: str) -> str:
    """Returns the value of a flag among options; empty without it. The last one counts."""
    values = [value for name, _, value in (each.partition("=") for each in options) if name == flag]
    return values[-1] if values else ""


def _started(command: Sequence[str], log: Path) -> psutil.Process:
    """Starts a process in a session of its own, so that Ctrl-C does not reach it."""
    package = Path(__file__).parent.parent.parent
    path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = psutil.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
    return process
