"""From a configuration file or the command line to models; the contract holds the refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import ServingError, UserError
from serving.server.flags import Flags
from serving.server.lifecycle.model_configs import config_of, models_of
from serving.server.lifecycle.version_policy import Model, Policy


def config(entries: str) -> model_server_config_pb2.ModelServerConfig:
    return text_format.Parse(
        f"model_config_list {{ {entries} }}", model_server_config_pb2.ModelServerConfig()
    )


def test_each_field_of_a_model_counts():
    models = models_of(
        config("""
            config { name: "a" base_path: "/models/a" model_platform: "tensorflow" }
            config {
              name: "b" base_path: "/models/b" model_type: TENSORFLOW
              model_version_policy { latest { num_versions: 2 } }
            }
            config {
              name: "c" base_path: "/models/c" model_platform: "tensorflow"
              model_version_policy { all {} }
            }
            config {
              name: "d" base_path: "/models/d" model_platform: "tensorflow"
              model_version_policy { specific { versions: 3 versions: 5 } }
              version_labels { key: "stable" value: 3 }
              version_labels { key: "canary" value: 5 }
            }
            config {
              name: "e" base_path: "/models/e" model_platform: "tensorflow"
              model_version_policy { latest {} }
            }
        """)
    )
    assert models == [
        Model("a", Path("/models/a")),
        Model("b", Path("/models/b"), Policy("latest", 2)),
        Model("c", Path("/models/c"), Policy("all")),
        Model(
            "d",
            Path("/models/d"),
            Policy("specific", versions=frozenset({3, 5})),
            {"stable": 3, "canary": 5},
        ),
        Model("e", Path("/models/e"), Policy("latest", 1)),
    ]


def test_no_models_are_a_configuration_too():
    assert models_of(config("")) == []


KNOWN = [Model("a", Path("/a"))]
NOTHING = model_server_config_pb2.ModelServerConfig()
CUSTOM = model_server_config_pb2.ModelServerConfig(custom_model_config={})


@pytest.mark.parametrize("config", [NOTHING, CUSTOM])
def test_a_list_of_models_is_followed_by_a_list_alone(config):
    """A file that is written again is empty for a moment."""
    with pytest.raises(ServingError) as raised:
        models_of(config, KNOWN)
    assert str(raised.value) == (
        "FAILED_PRECONDITION: Cannot transition to requested config. It is only legal to "
        "transition from one ModelConfigList to another."
    )


def test_a_configuration_that_says_nothing_waits_for_one_that_does():
    assert models_of(NOTHING) == []
    with pytest.raises(ServingError, match="does not yet support custom model config"):
        models_of(CUSTOM)


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_base_path_may_be_the_address_of_a_file(host):
    entry = f'config {{ name: "a" base_path: "file://{host}/m/a" model_platform: "tensorflow" }}'
    assert models_of(config(entry)) == [Model("a", Path("/m/a"))]
    flags = Flags(model_name="m", model_base_path=f"file://{host}/m/a")
    assert models_of(config_of(flags)) == [Model("m", Path("/m/a"))]


def test_other_addresses_are_refused():
    with pytest.raises(ServingError) as raised:
        models_of(config('config { name: "a" base_path: "gs://m/a" model_platform: "tensorflow" }'))
    assert raised.value.message == (
        "Model a has base_path()=gs://m/a, but this server reads local folders only"
    )


def test_the_command_line_names_one_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = Flags(model_name="m", model_base_path="models/m")
    assert models_of(config_of(flags)) == [Model("m", tmp_path / "models" / "m")]


def test_a_file_comes_before_the_other_flags(tmp_path):
    file = tmp_path / "models.config"
    file.write_text('model_config_list { config { name: "n" base_path: "/n" } }')
    flags = Flags(model_name="m", model_base_path="/m", model_config_file=str(file))
    [entry] = config_of(flags).model_config_list.config
    assert (entry.name, entry.base_path) == ("n", "/n")
    file.write_text("model_config_list {\n  config { nam: 1 }\n}")
    with pytest.raises(UserError, match="line 2"):
        config_of(flags)
