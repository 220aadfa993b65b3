"""What the tests of rollouts share: a registry of tiny models, and servers in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import tensorflow as tf
import yaml
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.rollout import golden
from serving.rollout.model_registry import DIGEST, Registered
from serving.server import config_files
from serving.server.lifecycle import model_configs
from tests.serving import in_process

NAME = "digits"


def store_of(folder: Path) -> str:
    """Creates an empty store and returns its address."""
    uri = f"sqlite:///{folder}/mlflow.db"
    SqlAlchemyStore(uri, str(folder / "artifacts")).engine.dispose()
    return uri


def register(uri: str, folder: Path, saved_model: Path, name: str = NAME, **options: Any) -> int:
    """Registers a SavedModel as a pipeline does, and returns its version."""
    client = mlflow.MlflowClient(uri, uri)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    number = len(client.search_model_versions(f"name = '{name}'")) + 1
    logged = folder / "logged" / name / str(number)
    shutil.copytree(saved_model, logged / "saved_model")
    flavors = {"tensorflow": {"saved_model_dir": "saved_model"}, "python_function": {}}
    (logged / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    return int(client.create_model_version(name, logged.as_uri(), **options).version)


def record_golden(saved_model: Path, half: float, two: float, **tolerances: float) -> None:
    """Writes the golden requests of `half_plus_two`, as an export does."""
    logs = []
    for values in ([1.0], [1.0, 2.0, -8.0]):
        x = np.array(values, np.float32)
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.model_spec.signature_name = "serving_default"
        log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
        log.predict_log.response.outputs["y"].CopyFrom(
            tf.make_tensor_proto((x * half + two).astype(np.float32))
        )
        logs.append(log)
    write_golden(saved_model, logs, **tolerances)


def write_golden(
    saved_model: Path, logs: Sequence[prediction_log_pb2.PredictionLog], **tolerances: float
) -> None:
    path = saved_model / golden.REQUESTS
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    allowed = {"absolute": 1e-5, "relative": 1e-5} | tolerances
    (saved_model / golden.TOLERANCES).write_text(json.dumps({"serving_default": allowed}))


class FolderRegistry:
    """A registry of SavedModels by version without MLflow, for tests of other parts."""

    def __init__(self, saved_models: dict[int, Path]) -> None:
        self._saved_models = saved_models
        self.aliases: dict[int, str] = {}
        self.refused: set[int] = set()
        self.digests: dict[int, str] = {}
        self.blessed: dict[int, dict[str, str]] = {}

    def find(self, name: str, *, alias: str = "champion", version: int | None = None) -> Registered:
        assert version is not None
        aliases = (self.aliases[version],) if version in self.aliases else ()
        tags = {"gate": "refused"} if version in self.refused else {}
        if version in self.digests:
            tags[DIGEST] = self.digests[version]
        return Registered(name, version, "run", "source", "commit", aliases, tags)

    def download(self, found: Registered, folder: Path) -> Path:
        return Path(shutil.copytree(self._saved_models[found.version], folder / "saved_model"))

    def bless(self, found: Registered, tags: Mapping[str, str]) -> None:
        self.blessed[found.version] = dict(tags)


class InProcess:
    """An engine whose servers run in this process; it keeps what it was asked to start."""

    name = "in process"

    def __init__(self) -> None:
        self.started: list[Path] = []

    def start(
        self,
        repository: Path,
        *,
        config: Path | None,
        port: int,
        rest_port: int,
        log: Path,
        options: Sequence[str] = (),
    ) -> InProcessServer:
        assert config is not None
        self.started.append(repository)
        return InProcessServer(config, port)


class InProcessServer:
    def __init__(self, config: Path, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._config, self._port = config, port
        self._stack = ExitStack()

    def wait_until_ready(self, timeout: float) -> None:
        models = configured(self._config)
        self._stack.enter_context(in_process.serving(*models, port=self._port))

    def __enter__(self) -> InProcessServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def configured(config: Path) -> list[Any]:
    message = config_files.read(config, model_server_config_pb2.ModelServerConfig)
    return model_configs.models_of(message)


@contextmanager
def running(repository: Path, **options: Any) -> Iterator[str]:
    """Serves a repository as it is now, in this process, and yields the address.

    `options` are the manager's.
    """
    config = repository / "models.config"
    models = configured(config) if config.exists() else []
    with in_process.serving(*models, labels_for_unavailable=True, **options) as address:
        yield address
