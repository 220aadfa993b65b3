"""The models that a ModelServerConfig lists.

Counterpart, also of checks, their order and texts: tensorflow_serving/model_servers/
server_core.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import ServingError
from serving.server.config_files import read
from serving.server.flags import Flags, local_path
from serving.server.lifecycle.version_policy import Model, Policy

PLATFORM = "tensorflow"
_TENSORFLOW = model_server_config_pb2.ModelType.Value("TENSORFLOW")


def config_of(flags: Flags) -> model_server_config_pb2.ModelServerConfig:
    """Returns the configuration of the command line: that of a file, or of one model.

    Raises:
        UserError: The file cannot be read.
    """
    if flags.model_config_file:
        return read(flags.model_config_file, model_server_config_pb2.ModelServerConfig)
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=flags.model_name,
        base_path=str(local_path(flags.model_base_path).absolute()),
        model_platform=PLATFORM,
    )
    return config


def models_of(
    config: model_server_config_pb2.ModelServerConfig, known: Sequence[Model] = ()
) -> list[Model]:
    """Returns the models of a configuration.

    Args:
        config: A `model_config_list`. One that says nothing at all is allowed as long as no model
            is known: a later one may list some.
        known: The models that are configured already; their platform is TensorFlow.

    Raises:
        ServingError: The configuration is not allowed, with TensorFlow Serving's code and text.
    """
    kind = config.WhichOneof("config")
    if known and kind != "model_config_list":
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Cannot transition to requested config. It is only legal to transition from one "
            "ModelConfigList to another.",
        )
    if kind == "custom_model_config":
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            "ModelServer does not yet support custom model config.",
        )
    configs = config.model_config_list.config
    names: set[str] = set()
    for entry in configs:
        if entry.name in names:
            raise _invalid(f"Illegal to list model {entry.name} multiple times in config list")
        names.add(entry.name)
    paths = [_path(entry) for entry in configs]
    known_names = {model.name for model in known}
    for entry in configs:
        if entry.name in known_names and (platform := _platform(entry)) != PLATFORM:
            raise _invalid(
                f"Illegal to change a model's platform. For model {entry.name} platform was "
                f"{PLATFORM} and new platform requested is {platform}"
            )
    for entry in configs:
        if (platform := _platform(entry)) != PLATFORM:
            raise _invalid(f"Model {entry.name} requests unsupported platform {platform}")
    return [
        Model(
            entry.name,
            path,
            _policy(entry),
            dict(entry.version_labels),
        )
        for entry, path in zip(configs, paths, strict=True)
    ]


def _path(entry: model_server_config_pb2.ModelConfig) -> Path:
    path = local_path(entry.base_path)
    if not path.is_absolute() and "://" in entry.base_path:
        raise _invalid(
            f"Model {entry.name} has base_path()={entry.base_path}, but this server reads local "
            "folders only"
        )
    if not path.is_absolute():
        raise _invalid(
            f"Expected model {entry.name} to have an absolute path or URI; "
            f"got base_path()={entry.base_path}"
        )
    return path


def _platform(entry: model_server_config_pb2.ModelConfig) -> str:
    if entry.model_type and entry.model_platform:
        raise _invalid(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {entry.name}"
        )
    if entry.model_type:
        if entry.model_type != _TENSORFLOW:
            raise _invalid(
                f"ModelServerConfig::model_type choice {entry.model_type} not supported."
            )
        return PLATFORM
    if not entry.model_platform:
        raise _invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {entry.name}"
        )
    return entry.model_platform


def _policy(entry: model_server_config_pb2.ModelConfig) -> Policy:
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return Policy("all")
    if kind == "specific":
        return Policy("specific", versions=frozenset(policy.specific.versions))
    return Policy("latest", max(1, policy.latest.num_versions))


def _invalid(text: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)
