"""The server as a process: how it starts, how it refuses to, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from serving.client import Client
from serving.engines.ports import free_port
from serving.errors import ServingError
from tests.serving.saved_models import publish, record_warmup, recorded, request
from tests.serving.server.processes import ENVIRONMENT, started


def test_a_server_waits_for_a_version_outlives_bad_requests_and_ends_in_good_order(
    repository, tmp_path
):
    base = tmp_path / "m"
    version = publish(repository / "count" / "1", tmp_path, 1)
    # Without warmup a bad record does no harm.
    record_warmup(version, recorded(request("m", x=np.ones(1))))
    with started(
        f"--port={free_port()}",
        "--model_name=m",
        f"--model_base_path={base}",
        "--enable_model_warmup=false",
    ) as server:
        server.wait_for(f"Could not find base path {base} for servable m")
        base.mkdir()
        server.wait_for("Did you forget to name your leaf directory as a number")
        assert "Running gRPC" not in server.log
        version.rename(base / "1")
        address = f"127.0.0.1:{server.wait_for(r'ModelServer at 0.0.0.0:([0-9]+)')[1]}"
        with Client(address, timeout=60) as client, ThreadPoolExecutor(1) as pool:
            outlive_wrong_shapes(client)

            # An answer of a second or two is under way when the signal comes.
            begun = time.monotonic()
            client.predict("m", {"number": 50_000})
            number = int(50_000 * 1.5 / (time.monotonic() - begun))
            slow = pool.submit(client.predict, "m", {"number": number})
            time.sleep(0.3)
            assert not slow.done()
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("Stopping")
            eventually_refuse(address)
            assert slow.result()["counted"] == number
        assert server.exit_code() == 0
        assert "Traceback" not in server.log


def eventually_refuse(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with Client(address, timeout=60) as late:
                late.predict("m", {"number": 1})
        except ServingError as error:
            if error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                return
            raise
    pytest.fail("new requests are still accepted")


def outlive_wrong_shapes(client: Client) -> None:
    """A shape that a convolution cannot take; its kernels would end the process."""
    for _ in range(2):
        with pytest.raises(ServingError) as raised:
            client.predict("m", {"images": np.zeros((8, 8, 1), np.float32)}, signature="convolve")
        assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    images = np.ones((2, 8, 8, 1), np.float32)
    answer = client.predict("m", {"images": images}, signature="convolve")
    assert answer["filtered"].shape == (2, 8, 8, 4)


def test_a_port_in_use_is_refused_in_a_sentence(repository):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        base = repository / "half_plus_two"
        with started(f"--port={port}", f"--model_base_path={base}") as server:
            assert server.exit_code() == 2
    assert server.log.splitlines()[-1] == (
        f"error: port {port} cannot be bound: it is in use or not allowed; choose another one"
    )
    assert "Traceback" not in server.log


def test_the_flags_may_be_read_in_part():
    process = subprocess.run(
        f"set -o pipefail; {sys.executable} -m serving.server --help | true",
        shell=True,
        executable="/bin/bash",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert process.stderr == ""


def test_what_needs_no_tensorflow_imports_none(tmp_path):
    """A mistake on the command line is told in a second, not in ten."""
    missing = tmp_path / "missing"
    code = (
        "import sys\n"
        "from serving.server.__main__ import main\n"
        "for arguments in (['--port=http'], [], ['--model_config_file=MISSING'],\n"
        "                  ['--version'], ['--version', '--help']):\n"
        "    print(main(arguments), 'tensorflow' in sys.modules)\n"
    ).replace("MISSING", str(missing))
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *refused, serving, tensorflow, version = process.stdout.splitlines()[:6]
    usage, *_, last = process.stdout.splitlines()[6:]
    assert usage == "usage: python -m serving.server [--flag=value …]"
    assert last == "0 False"
    assert refused == ["2 False"] * 3
    assert re.fullmatch(r"TensorFlow ModelServer: \d+\.\d+\.\d+", serving)
    assert re.fullmatch(r"TensorFlow Library: \d+\.\d+\.\d+", tensorflow)
    assert version == "0 False"
    assert process.stderr.splitlines() == [
        "error: --port must be an integer, not 'http'",
        "error: --model_base_path is missing: the folder of the model's versions; or give "
        "--model_config_file",
        f"error: --model_config_file names {missing}, which is no file",
    ]
