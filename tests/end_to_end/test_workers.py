"""Two workers train one network: one of them is killed, and all together go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

from serving.engines.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = (
    "image_classification --max_examples 64 --epochs 3 --batch_size 16 --figures false "
    "--jit_compile false --model.filters [4] --model.units [] --model.convolutions 1"
)


def start(folder: Path, jobs: dict, index: int, *options: str) -> subprocess.Popen:
    task = {"type": "worker", "index": index}
    log = (folder / f"worker_{index}.log").open("w")
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", *COMMAND.split(), *options],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CONFIG": json.dumps({"cluster": jobs, "task": task}),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        },
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def log(folder: Path, index: int) -> str:
    return (folder / f"worker_{index}.log").read_text()


def start_all(folder: Path, *options: str) -> list[subprocess.Popen]:
    jobs = {"worker": [f"localhost:{free_port()}" for _ in range(2)]}
    return [start(folder, jobs, index, *options) for index in range(2)]


@pytest.mark.slow
def test_a_killed_worker_ends_the_others_and_all_go_on(tmp_path):
    chief, other = start_all(tmp_path)
    deadline = time.monotonic() + 400
    while "train      1/3" not in log(tmp_path, 1):
        assert time.monotonic() < deadline, log(tmp_path, 0) + log(tmp_path, 1)
        assert other.poll() is None, log(tmp_path, 1)
        time.sleep(0.1)
    other.send_signal(signal.SIGKILL)
    assert chief.wait(timeout=60) == 1, log(tmp_path, 0)
    last = log(tmp_path, 0).strip().splitlines()[-1]
    assert last.startswith("error: another worker has ended, and worker 0 of 2 cannot go on alone")
    assert "Traceback" not in log(tmp_path, 0)

    for process in start_all(tmp_path, "--resume", "latest"):
        assert process.wait(timeout=500) == 0, log(tmp_path, 0) + log(tmp_path, 1)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FINISHED"
    assert run.data.params["device"].startswith("2 workers, each ")
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train/val_loss")
    assert [metric.step for metric in history] == [1, 2, 3]
    assert len(mlflow.MlflowClient().search_model_versions()) == 1
    assert "register" not in log(tmp_path, 1).replace("registered", "")
