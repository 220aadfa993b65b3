"""The systems under test: the model server, and the references."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import importlib
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from benchmarks import load
from benchmarks.load import Load, Sample, Target
from benchmarks.models import ServedModel
from benchmarks.processes import started
from benchmarks.samples import Served
from serving.client import Client, calls
from serving.engines.ports import free_port, free_ports
from serving.errors import ServingError, UserError

SERVER = "server"
ECHO, PARSED_ECHO = "gRPC echo", "gRPC echo of messages"
IN_PROCESS = "TensorFlow in process"
MLFLOW = "mlflow models serve"
REAL = "tensorflow_model_server"

# More than the callers of any load; otherwise requests wait for a thread and join no batch.
_THREADS = 128
_PAGE = "/monitoring/prometheus/metrics"
_MONITORING = f'prometheus_config {{ enable: true path: "{_PAGE}" }}\n'


def server_name(*, workers: int = 1, batching: bool = False, rest: bool = False) -> str:
    """Returns the name of the model server in tables, with its options."""
    words = [f"{workers} workers"] if workers > 1 else []
    words += ["batching"] * batching + ["REST"] * rest
    return ", ".join([SERVER, *words])


@dataclass(frozen=True)
class System:
    """A system under test.

    Attributes:
        name: Its name in tables and figures.
        measure: Generates a load for it; returns the sample and the server's metrics.
    """

    name: str
    measure: Callable[[Load], tuple[Sample, Served]]


@dataclass(frozen=True)
class ModelServer:
    """A running server that speaks TensorFlow Serving's protocol.

    Attributes:
        name: Its name in tables.
        address: HOST:PORT of gRPC.
        rest_address: HOST:PORT of REST.
        loader: The process that generates load.
        monitored: Whether its metrics can be compared before and after a load. With several
            workers, the metrics are delayed.
    """

    name: str
    address: str
    rest_address: str
    loader: Executor
    monitored: bool = True

    def predict(self, model: ServedModel, batch: int) -> System:
        """Returns the system that is called over gRPC."""
        call = calls.predict(calls.model_spec(model.name, None, ""), model.feeds(batch), [])
        body = call.request.SerializeToString()
        target = Target("grpc", self.address, call.method.path, body)
        return System(self.name, self._measured(target, model))

    def rest(self, model: ServedModel, batch: int) -> System:
        """Returns the system that is called over REST."""
        return System(f"{self.name}, REST", self._measured(self.rest_target(model, batch), model))

    def rest_target(self, model: ServedModel, batch: int) -> Target:
        """Returns the request over REST."""
        path = f"/v1/models/{model.name}:predict"
        return Target("http", self.rest_address, path, _columns(model, batch))

    def _measured(
        self, target: Target, model: ServedModel
    ) -> Callable[[Load], tuple[Sample, Served]]:
        rest_address = self.rest_address if self.monitored else ""
        return lambda chosen: self.loader.submit(
            _generate, target, chosen, rest_address, model.name
        ).result()


@contextlib.contextmanager
def model_server(
    model: ServedModel,
    base: Path,
    loader: Executor,
    *,
    command: Sequence[str] = (),
    name: str = "",
    workers: int = 1,
    batching: str = "",
) -> Iterator[ModelServer]:
    """Runs a model server until the end of the block.

    Args:
        model: The model that it serves.
        base: Folder of the SavedModels, and of the server's files.
        loader: The process that generates load.
        command: The program; empty for the project's server.
        name: Its name in tables; empty derives it from the flags.
        workers: Number of processes, for the project's server only.
        batching: BatchingParameters in text form; empty turns batching off.

    Raises:
        ProcessFailedError: It does not start.
    """
    name = name or server_name(workers=workers, batching=bool(batching))
    folder = Path(tempfile.mkdtemp(dir=base, prefix="server."))
    files = {"models": _model_config(model, base), "monitoring": _MONITORING, "batching": batching}
    for file, text in files.items():
        (folder / file).write_text(text)
    port, rest_port = free_ports(2)
    flags = [
        *(f"--port={port}", f"--rest_api_port={rest_port}", f"--grpc_max_threads={_THREADS}"),
        f"--model_config_file={folder / 'models'}",
        f"--monitoring_config_file={folder / 'monitoring'}",
    ]
    if batching:
        flags += ["--enable_batching", f"--batching_parameters_file={folder / 'batching'}"]
    if workers > 1:
        flags.append(f"--workers={workers}")
    running = ModelServer(
        name, f"127.0.0.1:{port}", f"127.0.0.1:{rest_port}", loader, monitored=workers == 1
    )
    command = command or [sys.executable, "-m", "serving.server"]
    with (
        Client(running.address, timeout=5, attempts=1) as client,
        started([*command, *flags], folder / "log", lambda: _available(client, model)),
    ):
        yield running


def real_server() -> list[str]:
    """Returns the command of TensorFlow Serving's program, empty if there is none.

    Raises:
        UserError: $TENSORFLOW_MODEL_SERVER is no program.
    """
    named = os.environ.get("TENSORFLOW_MODEL_SERVER", "")
    found = shutil.which(named or "tensorflow_model_server")
    if named and not found:
        raise UserError(f"$TENSORFLOW_MODEL_SERVER is {named}, which is no program")
    return [found] if found else []


@contextlib.contextmanager
def echo(
    model: ServedModel, batch: int, folder: Path, loader: Executor, *, messages: bool = False
) -> Iterator[System]:
    """Runs a bare gRPC server, which gets the same requests as a model server.

    Args:
        model: The model whose requests it gets.
        batch: Rows of a request.
        folder: For its log.
        loader: The process that generates load.
        messages: Whether it decodes and encodes the tensors.
    """
    port = free_port()
    address, name = f"127.0.0.1:{port}", PARSED_ECHO if messages else ECHO
    command = [sys.executable, "-m", "benchmarks.echo", str(port), str(_THREADS)]
    with started(
        [*command, *(["messages"] if messages else [])],
        folder / f"echo{messages:d}.log",
        lambda: _listens(port),
    ):
        yield ModelServer(name, address, "", loader, monitored=False).predict(model, batch)


@contextlib.contextmanager
def mlflow_server(
    model: ServedModel, batch: int, base: Path, tensorflow: Executor, loader: Executor
) -> Iterator[System]:
    """Logs the same SavedModel with MLflow and runs `mlflow models serve` on it."""
    path = base / f"{model.name}.mlflow"
    if not path.exists():
        tensorflow.submit(_save_with_mlflow, model.path(base), path).result()
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(path)),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    # MLflow starts uvicorn from the PATH.
    path_of_programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with started(
        command,
        base / f"{model.name}.mlflow.log",
        lambda: answers(address, "/ping"),
        environment={"PATH": path_of_programs},
    ):
        target = Target("http", address, "/invocations", _columns(model, batch))
        yield System(MLFLOW, lambda chosen: loader.submit(_generate, target, chosen).result())


def in_process(model: ServedModel, batch: int, base: Path, tensorflow: Executor) -> System:
    """Returns the system that calls TensorFlow's session, without a server or messages."""

    def measure(chosen: Load) -> tuple[Sample, Served]:
        feeds = model.feeds(batch)
        sample = tensorflow.submit(_run_in_process, model.path(base), feeds, chosen).result()
        return sample, Served()

    return System(IN_PROCESS, measure)


def beside(system: System, name: str, work: Callable[[Load], object]) -> System:
    """Returns a system that gets its load while other work is done, which takes as long."""

    def measure(chosen: Load) -> tuple[Sample, Served]:
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(work, chosen)
            found = system.measure(chosen)
        other.result()
        return found

    return System(name, measure)


def _generate(
    target: Target, chosen: Load, monitored: str = "", model: str = ""
) -> tuple[Sample, Served]:
    """Generates a load, and reads the server's metrics before and after, if it has any."""

    def served() -> Served:
        # If the server has ended, the sample has errors.
        with contextlib.suppress(OSError, http.client.HTTPException):
            return Served.of(_get(monitored, _PAGE), model) if monitored else Served()
        return Served()

    before: list[Served] = []
    sample = load.generate(target, chosen, lambda: before.append(served()))
    return sample, served().since(before[0])


def _columns(model: ServedModel, batch: int) -> bytes:
    """Returns a JSON body that both TensorFlow Serving and MLflow accept."""
    inputs = {name: array.tolist() for name, array in model.feeds(batch).items()}
    return json.dumps({"inputs": inputs}, default=_text).encode()


def _text(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def _model_config(model: ServedModel, base: Path) -> str:
    path = model.path(base).parent
    return (
        f'model_config_list {{ config {{ name: "{model.name}" base_path: "{path}" '
        'model_platform: "tensorflow" } }\n'
    )


def _available(client: Client, model: ServedModel) -> bool:
    try:
        return any(version.state == "AVAILABLE" for version in client.status(model.name))
    except ServingError as error:
        if error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return False
        raise


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(address: str, path: str) -> bool:
    """Returns whether a page can be had."""
    try:
        _get(address, path)
    except (OSError, http.client.HTTPException):
        return False
    return True


def _get(address: str, path: str) -> str:
    """Returns the page; empty if the server has none."""
    with contextlib.closing(http.client.HTTPConnection(address, timeout=10)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
        return text if response.status == 200 else ""


def _save_with_mlflow(saved_model: Path, path: Path) -> None:
    """Writes the model as pipelines register it: the SavedModel, for MLflow's loader."""
    import mlflow.models

    from pipelines import model_registry

    path.mkdir()
    model_registry.save_model(str(path), mlflow.models.Model(), saved_model)


def _run_in_process(path: Path, feeds: Mapping[str, np.ndarray], chosen: Load) -> Sample:
    run, names = _session(path)
    inputs = [feeds[name] for name in names]
    return load.drive([lambda: run(*inputs)] * chosen.callers, chosen)


@functools.cache
def _session(path: Path) -> tuple[Callable[..., object], list[str]]:
    """Returns the default signature as a function of its inputs, and their names."""
    import tensorflow as tf

    with contextlib.suppress(ImportError):
        importlib.import_module("tensorflow_text")  # Registers ops that models on texts have.
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    with graph.as_default():
        loaded = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
    signature = loaded.signature_def["serving_default"]
    fetched = [info.name for info in signature.outputs.values()]
    fed = [info.name for info in signature.inputs.values()]
    return session.make_callable(fetched, feed_list=fed), list(signature.inputs)
