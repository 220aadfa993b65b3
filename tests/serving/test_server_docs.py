"""docs/serving.md against the server: its flags, its commands, its configuration files."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server import config_files, flags
from serving.server.batching import parameters as batching_parameters
from serving.server.lifecycle.model_configs import models_of
from serving.server.monitoring import access_log
from serving.server.monitoring.observation import Observation

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "serving.md").read_text()
NAMED = set(re.findall(r"--([a-z_]+)", TEXT))
FLAGS = {field.name for field in dataclasses.fields(flags.Flags)}
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
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
    assert others == {"flag", "repository"}


def test_the_commands_have_flags_that_exist(caplog):
    shell = "\n".join(block for kind, block in BLOCKS if kind == "sh").replace("\\\n", "")
    commands = [line for line in shell.splitlines() if line.startswith("python -m serving.server")]
    assert commands
    for command in commands:
        assert flags.parse(shlex.split(command)[3:]) != flags.Flags()
    assert caplog.text == ""


def test_the_configuration_files_can_be_read():
    models, batching, monitoring = PROTOS
    config = text_format.Parse(models, model_server_config_pb2.ModelServerConfig())
    digits, flowers = models_of(config)
    assert digits.labels == {"stable": 6, "canary": 7}
    assert digits.policy.versions == {6, 7}
    assert flowers.policy.count == 2
    parameters = text_format.Parse(batching, config_files.BatchingParameters())
    assert batching_parameters.options(parameters).allowed_sizes == (8, 16, 32)
    assert text_format.Parse(monitoring, config_files.MonitoringConfig()).prometheus_config.enable


def test_a_line_of_the_access_log_has_the_fields_that_are_shown():
    [line] = [json.loads(block) for kind, block in BLOCKS if kind == "json"]
    assert list(line) == list(access_log.record(Observation("Predict", "GRPC", lambda: "")))


def test_the_console_script_is_the_module():
    assert (
        'foundry-model-server = "serving.server.__main__:main"'
        in (ROOT / "pyproject.toml").read_text()
    )
