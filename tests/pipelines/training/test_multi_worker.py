"""Several replicas train what one does: devices of one process, and processes that are workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.config import Config
from pipelines.training import multi_worker
from serving.engines.ports import free_port
from tests.pipelines.training import replicas

ROOT = Path(__file__).resolve().parent.parent.parent.parent
WORKERS = 2
Results = Mapping[str, np.ndarray]


def start(folder: Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pipelines.training.replicas", str(folder)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(processes: list[subprocess.Popen], seconds: float = 500) -> None:
    outputs = [process.communicate(timeout=seconds)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output


@pytest.fixture(scope="module")
def alone() -> Results:
    return replicas.results(Config(strategy="one", recipe=replicas.RECIPE))


@pytest.fixture(scope="module")
def mirrored() -> Results:
    """Results of one process with as many devices as there are workers."""
    return replicas.results(Config(devices=WORKERS, recipe=replicas.RECIPE))


@pytest.fixture(scope="module")
def workers(tmp_path_factory) -> list[Results]:
    """Results of each of several processes that train together."""
    folder = tmp_path_factory.mktemp("workers")
    jobs = {"worker": [f"localhost:{free_port()}" for _ in range(WORKERS)]}
    finish(
        [
            start(folder, TF_CONFIG=json.dumps({"cluster": jobs, "task": task}))
            for task in ({"type": "worker", "index": index} for index in range(WORKERS))
        ]
    )
    return [np.load(folder / f"{WORKERS}-{index}.npz") for index in range(WORKERS)]


def assert_equal(one: Results, other: Results, prefix: str, tolerance: float) -> None:
    names = [name for name in one if name.startswith(prefix)]
    assert len(names) > 10
    assert names == [name for name in other if name.startswith(prefix)]
    for name in names:
        np.testing.assert_allclose(
            other[name], one[name], rtol=tolerance, atol=tolerance, err_msg=name
        )


def test_devices_train_what_one_trains_on_the_same_batches(alone, mirrored):
    assert_equal(alone, mirrored, "Tagging", 2e-5)


def test_workers_train_what_one_process_trains_on_the_same_batches(alone, workers):
    assert_equal(alone, workers[0], "Tagging", 2e-5)


def test_all_workers_have_the_same_weights_and_values(workers):
    for other in workers[1:]:
        assert_equal(workers[0], other, "", 0)


def test_a_worker_trains_what_a_device_trains_with_the_same_slice(mirrored, workers):
    """Also where slices matter, as in batch normalization, and random numbers, as in dropout."""
    assert_equal(mirrored, workers[0], "Normalizing", 2e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 64])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_slices_are_the_batch_once_or_all_of_it_each(size, count):
    batch = (tf.range(size), {"a": tf.range(size) * 2})
    parts = [multi_worker._slice(batch, tf.constant(n, tf.int64), count) for n in range(count)]
    sizes = [len(numbers) for (numbers, _), _, _ in parts]
    assert min(sizes) > 0
    assert float(sum(weight for _, weight, _ in parts)) == pytest.approx(1)
    counted = [numbers for (numbers, _), _, counts in parts if counts]
    np.testing.assert_array_equal(np.concatenate(counted), range(size))
    if size >= count:
        assert max(sizes) - min(sizes) <= 1
    for (numbers, other), weight, _ in parts:
        np.testing.assert_array_equal(other["a"], 2 * numbers)
        assert float(weight) == pytest.approx(len(numbers) / sum(sizes))


def test_one_replica_takes_batches_and_losses_as_they_are():
    strategy = tf.distribute.get_strategy()
    batches, loss = tf.data.Dataset.range(3).batch(2), keras.losses.MeanSquaredError()
    assert multi_worker.distributed(batches, strategy) is batches
    assert multi_worker.global_means({"a": loss}, strategy) == {"a": loss}
