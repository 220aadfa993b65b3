"""docs/serving.md against the server: its flags, its commands, its configuration files."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.client import TLS, Client
from serving.errors import ServingError
from serving.server import config_files, encryption, flags
from serving.server.batching import parameters as batching_parameters
from serving.server.lifecycle.model_configs import models_of
from serving.server.monitoring import access_log
from serving.server.monitoring.observation import Observation
from serving.server.monitoring.request_log import RequestLog
from tests.serving.recording import Recorder, bare_server
from tests.serving.server.rest.test_app import running

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "serving.md").read_text()
NAMED = set(re.findall(r"--([a-z_]+)", TEXT))
FLAGS = {field.name for field in dataclasses.fields(flags.Flags)}
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
# Of `query`, of `up` and of curl.
CLIENT_OPTIONS = {"root_certificates", "certificate", "key", "cacert", "cert", "rest_port"}
PROTOS = [block for kind, block in BLOCKS if kind == "proto"]


@pytest.mark.parametrize("name", sorted(FLAGS | flags.IGNORED))
def test_each_flag_is_explained(name):
    table, ignored = TEXT.split("Read, named in the log and ignored:")
    if name in FLAGS:
        assert re.search(rf"^\|.*`--{name}`.*\|.+\|$", table, re.MULTILINE)
    else:
        assert f"`--{name}`" in ignored


def test_no_other_flags_are_named():
    others = NAMED - FLAGS - flags.IGNORED
    # The word for any of them, and an option of the benchmark that the page names.
    assert others - CLIENT_OPTIONS == {"flag", "repository"}


def test_the_commands_have_flags_that_exist(caplog):
    shell = "\n".join(block for kind, block in BLOCKS if kind == "sh").replace("\\\n", "")
    commands = [line for line in shell.splitlines() if line.startswith("python -m serving.server")]
    assert commands
    for command in commands:
        assert flags.parse(shlex.split(command)[3:]) != flags.Flags()
    assert caplog.text == ""


def test_the_configuration_files_can_be_read(tmp_path):
    models, batching, encryption, monitoring, logging = PROTOS
    config = text_format.Parse(models, model_server_config_pb2.ModelServerConfig())
    digits, flowers = models_of(config)
    assert digits.labels == {"stable": 6, "canary": 7}
    assert digits.policy.versions == {6, 7}
    assert flowers.policy.count == 2
    parameters = text_format.Parse(batching, config_files.BatchingParameters())
    assert batching_parameters.options(parameters).allowed_sizes == (8, 16, 32)
    (tmp_path / "ssl").write_text(encryption)
    assert config_files.read(tmp_path / "ssl", config_files.SSLConfig).client_verify
    assert text_format.Parse(monitoring, config_files.MonitoringConfig()).prometheus_config.enable
    logged = text_format.Parse(logging, model_server_config_pb2.ModelServerConfig())
    with pytest.raises(ServingError, match="there is no folder /logs"):
        RequestLog().check(logged)


@pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("curl")), reason="needs openssl and curl"
)
def test_a_certificate_made_as_the_page_says_encrypts_both_transports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [block] = [block for kind, block in BLOCKS if kind == "sh" and "openssl" in block]
    make, _, rest = block.partition("python -m serving.server")
    subprocess.run(["sh", "-ec", make], check=True, capture_output=True)
    config = config_files.read("tls.config", config_files.SSLConfig)
    tls = TLS("server.pem")
    recorder = Recorder(GetModelStatus=get_model_status_pb2.GetModelStatusResponse())
    with (
        bare_server(recorder, "localhost:0", encryption.credentials(config)) as address,
        Client(address, tls=tls, timeout=20) as client,
    ):
        assert client.status("digits") == []
    [curl] = [line for line in rest.splitlines() if line.startswith("curl")]
    with running(tls=encryption.context(config)) as port:
        answer = subprocess.run(
            shlex.split(curl.replace("8501", str(port))), check=True, capture_output=True, text=True
        )
    assert "model_version_status" in answer.stdout


def test_a_line_of_the_access_log_has_the_fields_that_are_shown():
    [line] = [json.loads(block) for kind, block in BLOCKS if kind == "json"]
    assert list(line) == list(access_log.record(Observation("Predict", "GRPC", lambda: "")))


def test_the_console_script_is_the_module():
    assert (
        'foundry-model-server = "serving.server.__main__:main"'
        in (ROOT / "pyproject.toml").read_text()
    )
