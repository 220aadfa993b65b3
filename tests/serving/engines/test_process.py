"""Why a server is not ready: the line of its log that says so, or else the last ones."""

from __future__ import annotations

import psutil
import pytest

from serving.engines.process import ServerProcess
from serving.server import encryption
from serving.server.config_files import SSLConfig
from tests.serving.certificates import certified, encrypted
from tests.serving.recording import Recorder, bare_server
from tests.serving.server.rest.test_app import running

STORY = [f"2026-11-29 08:00:00.{line:06}: I tensorflow/core.cc:1] and so on" for line in range(30)]
REASON = "NOT_FOUND: Op type not registered 'Foo' in binary running on here. Make sure the Op is."
LOADING = "2026-11-29 08:00:01.000000: E tensorflow_serving/util/retrier.cc:46] Loading servable: "


@pytest.mark.parametrize(
    "line",
    [
        f"{LOADING}{{name: digits version: 1}} failed: {REASON}",
        f"E1129 08:00:01.000 1 manager.py:316] Loading servable digits version 1 failed: {REASON}",
    ],
)
def test_the_line_about_a_model_that_cannot_be_loaded_is_the_reason(tmp_path, line):
    log = tmp_path / "server.log"
    log.write_text("\n".join([*STORY, line, *STORY]))
    assert ServerProcess("binary", None, 1, 0, log).reason() == f": {REASON}"


def test_without_such_a_line_the_last_lines_are_shown(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("\n".join(STORY))
    found = ServerProcess("binary", None, 1, 0, log).reason()
    assert found == f"; its log, {log}, ends with:\n" + "\n".join(STORY[-20:])


def test_a_server_with_tls_on_both_transports_becomes_ready(tmp_path):
    """Also if it asks for certificates of clients."""
    authority = certified("authority")
    pair = certified("localhost", authority)
    config = SSLConfig(
        server_key=pair.key,
        server_cert=pair.certificate,
        custom_ca=authority.certificate,
        client_verify=True,
    )
    with (
        bare_server(Recorder(), credentials=encrypted(pair, clients=authority)) as address,
        running(tls=encryption.context(config)) as rest_port,
    ):
        found = ServerProcess(
            *("embedded", psutil.Process(), int(address.rpartition(":")[2]), rest_port),
            tmp_path / "log",
            encrypted=True,
            rest_encrypted=True,
        )
        found.wait_until_ready(10)
    assert f"REST https://localhost:{rest_port}, process" in found.line
