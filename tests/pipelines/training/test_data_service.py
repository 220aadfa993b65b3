"""Batches that other processes prepare are those that this one would prepare, in the same order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.errors import UserError
from pipelines.image.config import Augmentation
from pipelines.recipe import Recipe
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.training import batching, data_service
from serving.engines.ports import free_port
from tests.pipelines import samples

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Yields the address of a server in a process of its own, which SIGTERM has to end cleanly."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "data_service", "--port", str(port)],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert f":{port}" in line
    assert "--data_service grpc://" in line
    yield f"grpc://localhost:{port}"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "ended\n")


def batches(option: str, **position: int) -> list[tuple[np.ndarray, np.ndarray]]:
    recipe = Recipe(epochs=3, batch_size=16, seed=5)
    config = samples.config(recipe, Augmentation(shift=0.2, flip=True))
    task = ImageClassification(replace(config, data_service=option))
    dataset = batching.training_batches(task, samples.striped(), **position)
    assert int(dataset.cardinality()) == sum(1 for _ in dataset)
    return list(dataset.as_numpy_iterator())


def assert_equal(option: str, **position: int) -> None:
    expected, found = batches("", **position), batches(option, **position)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        for part, expected_part in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, expected_part)


def test_batches_of_a_server_are_those_of_this_process(server):
    assert_equal(server)


def test_they_begin_at_any_position(server):
    assert_equal(server, epoch=1, step=2)


def test_several_servers_take_turns(server):
    port = free_port()
    other = data_service._start(port)
    assert_equal(f"{server}, grpc://localhost:{port}")
    del other


def test_a_server_that_answers_is_found(server):
    data_service.check(server)
    data_service.check("")


def test_a_server_that_does_not_answer_is_one_sentence():
    port = free_port()
    with pytest.raises(UserError, match=f"grpc://localhost:{port} does not answer") as raised:
        data_service.check(f"grpc://localhost:{port}")
    assert f"data_service --port {port}" in str(raised.value)


@pytest.mark.parametrize("option", ["localhost:1", "grpc://localhost", "http://a:1", "grpc://a:1,"])
def test_an_address_has_a_scheme_a_host_and_a_port(option):
    with pytest.raises(UserError, match="must be grpc://HOST:PORT"):
        data_service.addresses(option)


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--workers", "0"], ["--port", "65536"]])
def test_ports_have_bounds(arguments):
    with pytest.raises(UserError, match="must be positive"):
        data_service.main(arguments)


def test_batches_without_a_server_are_prepared_here():
    served = data_service.served(
        lambda count, first: tf.data.Dataset.range(5).shard(count, first), []
    )
    assert list(served.as_numpy_iterator()) == list(range(5))
