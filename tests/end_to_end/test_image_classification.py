"""From the digits to a server that changes versions, by the command lines that a user types."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import git
import mlflow
import numpy as np
import pytest

from pipelines.image.config import ImageConfig
from pipelines.tasks.image_classification.data import load
from serving.__main__ import main
from serving.client import Client
from serving.engines.ports import free_port
from serving.query.ask import images
from serving.rollout import models_config
from serving.rollout.models_config import Entry
from tests.end_to_end import browsing
from tests.pages import python_blocks
from tests.serving.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ROOT / "docs"
# Without augmentation, fewer epochs beat the baseline.
STILL = [f"--augmentation.{name}=0" for name in ("shift", "rotation", "zoom")]


class Workspace:
    """An empty working directory for the project's commands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": "",
            "COLUMNS": "200",
        }
        self.store = f"sqlite:///{path}/mlruns/mlflow.db"

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, **environment: str) -> str:
        """Runs a command that must succeed, and returns its output."""
        process = self.start(*command, **environment)
        printed, errors = process.communicate(timeout=300)
        assert process.returncode == 0, printed + errors
        return printed

    def python(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", *arguments)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def first_run(workspace) -> str:
    return workspace.python("pipelines", "image_classification", "--epochs", "12", *STILL)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A Git repository whose last commit is the working tree."""
    folder = tmp_path_factory.mktemp("repository")
    listed = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in filter(None, git.Repo(ROOT).git.execute(["git", *listed]).split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    made = git.Repo.init(folder, initial_branch="main")
    made.git.add(all=True)
    author = git.Actor("Somebody", "somebody@example.org")
    made.index.commit("The working tree", author=author, committer=author)
    return folder


@pytest.fixture(scope="module")
def second_run(workspace, repository, first_run) -> str:
    """The same pipeline with other parameters, through MLflow projects, from a Git URI."""
    uri = "https://git.example.org/foundry.git"
    return workspace.run(
        *("mlflow", "run", uri, "-e", "image_classification", "--env-manager=local"),
        *("--experiment-name", "image_classification"),
        *("-P", "epochs=3", "-P", "learning_rate=4e-3", "-P", "model.filters=[16,32]"),
        *("-P", "jit_compile=false", "-P", "figures=false"),
        MLFLOW_TRACKING_URI=workspace.store,
        PYTHONPATH="",  # The code is that of MLflow's clone.
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.file://{repository}.insteadOf",
        GIT_CONFIG_VALUE_0=uri,
    )


@contextmanager
def server(workspace: Workspace, *flags: str, repository: str = "models") -> Iterator[str]:
    """Runs the model server on a free port and yields its address."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    process = workspace.start(
        *(sys.executable, "-m", "serving.server", f"--port={port}"),
        f"--model_config_file={repository}/models.config",
        "--allow_version_labels_for_unavailable_models",
        *flags,
    )
    # The pipe is read, since a full one would stop the server.
    reader = threading.Thread(target=process.communicate, daemon=True)
    reader.start()
    try:
        yield f"localhost:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        reader.join(300)
        assert process.returncode == 0


def test_a_run_prints_its_results_and_the_next_command(first_run, workspace):
    for words in ("data", "baseline", "train", "evaluate", "export", "validate", "register"):
        assert f"✓ {words}" in first_run
    assert "champion: validation accuracy" in first_run
    assert "models:/digits/1 @champion" in first_run
    assert "python -m serving deploy digits" in first_run
    saved_model = next(
        line.split(maxsplit=1)[1] for line in first_run.splitlines() if line.startswith("Saved")
    )
    assert (workspace.path / saved_model / "saved_model.pb").exists()


def test_two_runs_can_be_compared(workspace, first_run, second_run):
    mlflow.set_tracking_uri(workspace.store)
    runs = mlflow.search_runs(
        experiment_names=["image_classification"], order_by=["start_time"], output_format="list"
    )
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    first, second = (run.data for run in runs)
    assert (first.params["epochs"], second.params["epochs"]) == ("12", "3")
    assert first.params.keys() == second.params.keys()
    assert first.params["optimizer.learning_rate"] == "0.002"
    assert second.params["optimizer.learning_rate"] == "0.004"
    assert second.params["model.filters"].strip("'") == "[16,32]"  # MLflow logs it quoted.
    assert first.metrics["test/accuracy"] > first.metrics["test/baseline/accuracy"]
    assert first.metrics["test/margin/accuracy"] > second.metrics["test/margin/accuracy"]
    for run in runs:
        assert run.inputs is not None
        inputs = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
        assert inputs == {
            f"digits/{split}": first.params["data.digest"]
            for split in ("train", "validation", "test")
        }
        assert Path(run.info.artifact_uri).is_relative_to(workspace.path / "mlruns/artifacts")


def test_a_walk_through_the_ui_shows_what_the_runs_have_done(workspace, first_run, second_run):
    mlflow.set_tracking_uri(workspace.store)
    first, second = mlflow.search_runs(
        experiment_names=["image_classification"], order_by=["start_time"], output_format="list"
    )
    command = browsing.ui(workspace.path, workspace.environment, free_port())
    with browsing.browser() as browser, command as address:
        browsing.walk(browser, address, (first.info.run_name, second.info.run_name))
    assert browser.problems == []


def test_a_server_changes_versions_without_a_failed_request(workspace, first_run, second_run):
    printed = workspace.python("serving", "deploy", "digits")
    assert "digits version 1 deployed: models/digits/1" in printed
    with server(workspace) as address, Client(address, timeout=30) as client:
        assert client.wait_until_ready("digits", timeout=300) == 1

        examples = workspace.path / "models/digits/1/assets.extra/examples"
        chart = workspace.path / "answers.png"
        printed = workspace.python(
            *("serving", "query", "digits", str(examples)),
            *("--address", address, "--picture", str(chart)),
        )
        assert "truth" in printed
        assert chart.read_bytes().startswith(b"\x89PNG")

        files = np.array([path.read_bytes() for path, _ in images([examples])], object)
        before = client.predict("digits", {"image_bytes": files}, signature="image_bytes")
        mlflow.set_tracking_uri(workspace.store)
        registered = mlflow.pyfunc.load_model("models:/digits@champion")
        tensors = np.stack([_pixels(path) for path, _ in images([examples])])
        direct = registered.predict({"images": tensors})
        np.testing.assert_allclose(before["probabilities"], direct["probabilities"], atol=1e-6)
        (shown,) = python_blocks(ROOT / "README.md")
        names: dict[str, Any] = {"images": tensors}
        exec(shown.replace("localhost:8500", address), names)
        assert (names["answers"]["classes"] == before["classes"]).all()

        failures: list[Exception] = []
        done = threading.Event()

        def send_requests() -> None:
            while not done.wait(0.01):  # Without a pause it would take the time of the deploy.
                try:
                    client.predict("digits", {"images": tensors})
                except Exception as error:
                    failures.append(error)

        clients = [threading.Thread(target=send_requests) for _ in range(3)]
        for thread in clients:
            thread.start()
        printed = workspace.python(
            *("serving", "deploy", "digits", "--version", "2", "--now", "--force"),
            *("--address", address),
        )
        assert "digits version 2 deployed" in printed
        assert client.wait_until_ready("digits", version=2, timeout=300) == 2
        _until(lambda: [s.state for s in client.status("digits")] == ["AVAILABLE", "END"])
        done.set()
        for thread in clients:
            thread.join()
        assert failures == []
        after = client.predict("digits", {"image_bytes": files}, signature="image_bytes")
        assert np.abs(after["probabilities"] - before["probabilities"]).max() > 0.01


def test_requests_like_validation_are_told_from_darker_ones(
    workspace, first_run, monkeypatch, capsys
):
    saved_model = next(
        line.split(maxsplit=1)[1] for line in first_run.splitlines() if line.startswith("Saved")
    )
    repository, logs = workspace.path / "watched", workspace.path / "logs"
    logs.mkdir()
    shutil.copytree(saved_model, repository / "digits" / "1")
    config = models_config.parse("", "")
    entry = Entry.of({"stable": 1})
    config = models_config.changed(config, "digits", str(repository / "digits"), entry)
    (repository / "models.config").write_text(models_config.text(config))
    data = load(ImageConfig(dataset="digits", architecture="convnet"))
    validation = np.stack([image for image, _ in data.validation.as_numpy_iterator()])

    def watch() -> int:
        return main(["watch", "digits", "--log", str(logs), "--repository", str(repository)])

    monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.store)
    flag = f"--request_log={logs}/requests"
    with (
        server(workspace, flag, repository="watched") as address,
        Client(address, timeout=30) as client,
    ):
        client.wait_until_ready("digits", timeout=120)
        client.predict("digits", {"images": validation})
        eventually(lambda: any(path.stat().st_size for path in logs.iterdir()))
        assert watch() == 0
        client.predict("digits", {"images": validation // 3})
    assert watch() == 3
    printed = capsys.readouterr().out
    assert "243 examples: as in validation" in printed
    assert "486 examples: drift of input images: brightness" in printed
    mlflow.set_tracking_uri(workspace.store)
    reports = mlflow.search_runs(
        experiment_names=["image_classification"],
        filter_string="tags.report = 'drift'",
        output_format="list",
    )
    indices = [run.data.metrics["drift/serving_default/input images: contrast"] for run in reports]
    assert sorted(index > 0.2 for index in indices) == [False, True]


def test_the_store_is_read_from_python_as_the_pages_say(workspace, first_run):
    (network,) = [block for block in python_blocks(PAGES / "pipelines.md") if "keras" in block]
    (registered,) = [block for block in python_blocks(PAGES / "signatures.md") if "mlflow" in block]
    (run,) = (line.split()[1] for line in first_run.splitlines() if line.startswith("run  "))
    program = (
        "import numpy as np\n"
        "images = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8, 1)\n"
        f"{network.replace('runs:/ID', run)}"
        f"{registered.replace('mlflow.pyfunc', 'served = mlflow.pyfunc')}"
        "logits = network.predict(images / np.float32(255), verbose=0)\n"
        "assert (logits.argmax(-1) == np.array(served['classes']).astype(int)).all()\n"
    )
    workspace.run(sys.executable, "-c", program)
    assert not (workspace.path / "mlflow.db").exists()


def test_an_interrupted_run_is_closed_as_killed(workspace, first_run):
    mlflow.set_tracking_uri(workspace.store)
    process = workspace.start(
        *(sys.executable, "-m", "pipelines", "image_classification", "--epochs", "2000"),
        *("--name", "interrupted", "--model.filters", "[4]", "--jit_compile", "false"),
    )

    def training() -> list:
        return mlflow.search_runs(
            experiment_names=["image_classification"],
            filter_string="params.name = 'interrupted' and metrics.`train/loss` > 0",
            output_format="list",
        )

    try:
        _until(training)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130
    (run,) = training()
    assert errors.splitlines()[-1] == (
        "interrupted: the run was closed as KILLED, nothing was registered; go on with "
        f"python -m pipelines image_classification --resume {run.info.run_id}"
    )
    assert "Traceback" not in errors
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "interrupted")
    assert not mlflow.MlflowClient().search_registered_models("name = 'interrupted'")


def _pixels(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path), np.uint8)[..., np.newaxis]


def _until(condition, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was never true"
        time.sleep(0.2)
