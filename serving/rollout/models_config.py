"""`models.config`, the ModelServerConfig of a model repository: read, change, write.

The file is the state of a rollout: each model's entry lists `specific` versions and their labels.
TensorFlow Serving answers a request without version and label with the highest version that is
available, so every version in the file may get such requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import text_format

from serving.client.calls import ModelConfig
from serving.client.traffic import STABLE
from serving.errors import UserError
from serving.protocol import messages

CANARY = "canary"
# The registry's alias of each label.
ALIASES = {STABLE: "champion", CANARY: "challenger"}
_HEADER = "# Written by `python -m serving`; other models' entries stay, comments do not.\n"


@dataclass(frozen=True)
class Entry:
    """What is served of one model.

    Attributes:
        versions: The versions that are loaded.
        labels: Version by label.
    """

    versions: frozenset[int] = frozenset()
    labels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, labels: Mapping[str, int]) -> Entry:
        """Returns the entry between rollouts: exactly the versions with labels are served."""
        return cls(frozenset(labels.values()), dict(labels))


def steps(before: Entry, after: Entry) -> list[Entry]:
    """Returns the three steps from one entry to another: add versions, move labels, drop versions.

    A server takes a label only for a version that is available already, and no label may be left
    without its version.
    """
    together = before.versions | after.versions
    return [Entry(together, before.labels), Entry(together, after.labels), after]


def parse(text: str, where: str) -> Any:
    """Returns the ModelServerConfig of a text.

    Raises:
        UserError: It is none, or has fields that would be lost when it is written, or a model
            without a platform: after one such reload, TensorFlow Serving refuses all others.
    """
    config = messages.ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise UserError(
            f"{where} is not a ModelServerConfig as this program writes it: {error}"
        ) from error
    for model in config.model_config_list.config:
        if not model.model_platform:
            raise UserError(
                f"{where} gives {model.name or 'a model'} no platform, so servers would refuse it; "
                'add model_platform: "tensorflow" to its entry'
            )
    config.model_config_list.SetInParent()
    return config


def text(config: Any) -> str:
    """Returns a ModelServerConfig in protobuf's text form."""
    return _HEADER + text_format.MessageToString(config)


def names(config: Any) -> list[str]:
    """Returns the served names."""
    return [model.name for model in config.model_config_list.config]


def entry(config: Any, name: str) -> Entry:
    """Returns what is served of a model; nothing if the configuration does not list it.

    Raises:
        UserError: It is served by another policy than specific versions.
    """
    model = _find(config, name)
    if model is None:
        return Entry()
    policy = model.model_version_policy
    if not policy.HasField("specific"):
        raise UserError(
            f"models.config serves {name} by another policy than `specific` versions; write the "
            "versions into it, or remove its entry and deploy again"
        )
    return Entry(frozenset(policy.specific.versions), dict(model.version_labels))


def changed(config: Any, name: str, base_path: str, wanted: Entry) -> Any:
    """Returns a copy of the configuration with another entry for a model, or none without versions.

    Args:
        config: The configuration, which is not changed.
        name: Served name.
        base_path: Folder of the versions, for a new entry; an existing one keeps its own, which
            may be the path within a container.
        wanted: What to serve.
    """
    result = messages.ModelServerConfig()
    result.CopyFrom(config)
    models = result.model_config_list.config
    model = _find(result, name)
    if not wanted.versions:
        if model is not None:
            models.remove(model)
        return result
    if model is None:
        model = models.add(name=name, base_path=base_path, model_platform="tensorflow")
    model.model_version_policy.Clear()
    model.model_version_policy.specific.versions.extend(sorted(wanted.versions))
    model.version_labels.clear()
    for label, number in sorted(wanted.labels.items()):
        model.version_labels[label] = number
    return result


def models(config: Any) -> list[ModelConfig]:
    """Returns the models as the client's `reload` takes them."""
    found = []
    for model in config.model_config_list.config:
        policy = model.model_version_policy
        versions: Any = max(1, policy.latest.num_versions)
        if policy.HasField("all"):
            versions = "all"
        elif policy.HasField("specific"):
            versions = list(policy.specific.versions)
        found.append(
            ModelConfig(
                model.name,
                model.base_path,
                versions,
                dict(model.version_labels),
                model.model_platform,
                model.logging_config if model.HasField("logging_config") else None,
            )
        )
    return found


def _find(config: Any, name: str) -> Any:
    return next((m for m in config.model_config_list.config if m.name == name), None)
