"""One image without its batch dimension, for a network on which that ends TensorFlow Serving."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import psutil
import pytest

import architectures
from serving.client import Client
from serving.engines.ports import free_port
from serving.errors import ServingError
from tests.serving.server.processes import started


def test_a_resnet_outlives_an_image_of_rank_3_and_answers_others_meanwhile(tmp_path, monkeypatch):
    # The convolution that aborts is oneDNN's, which is on by default on newer processors only.
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    network = architectures.build("resnet18", classes=10, input_shape=(64, 64, 3))
    network.export(str(tmp_path / "1"), verbose=False)
    images = np.random.default_rng(0).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    with started(
        f"--port={free_port()}",
        "--model_name=resnet",
        f"--model_base_path={tmp_path}",
        "--grpc_max_threads=4",
    ) as server:
        address = f"127.0.0.1:{server.wait_for(r'ModelServer at 0.0.0.0:([0-9]+)')[1]}"
        with Client(address, timeout=120) as client, ThreadPoolExecutor(1) as pool:
            name, first = next(iter(client.predict("resnet", {"images": images}).items()))
            bad = pool.submit(client.predict, "resnet", {"images": images[0]})
            meanwhile = 0
            while not bad.done():
                answer = client.predict("resnet", {"images": images})[name]
                np.testing.assert_allclose(
                    answer, first, rtol=1e-4, atol=1e-6 * np.abs(first).max()
                )
                meanwhile += 1
                time.sleep(0.1)
            assert meanwhile
            for call in (bad.result, lambda: client.predict("resnet", {"images": images[0]})):
                with pytest.raises(ServingError) as raised:
                    call()
                assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
                assert raised.value.message == (
                    "TensorFlow aborts (SIGABRT) on these inputs: images has shape [64,64,3] "
                    "where the signature declares [-1,64,64,3]"
                )
            answer = client.predict("resnet", {"images": images})[name]
            np.testing.assert_allclose(answer, first, rtol=1e-4, atol=1e-6 * np.abs(first).max())
        expected = np.asarray(network(images, training=False))
        # Untrained, it answers in hundreds; rounding is a hundred-thousandth of that.
        np.testing.assert_allclose(first, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
        assert psutil.Process(server.process.pid).is_running()
        assert "is restarted" not in server.log
