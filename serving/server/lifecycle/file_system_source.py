"""The versions of models, as found in their base paths.

Counterpart: tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from serving.server.lifecycle.version_policy import Model

log = logging.getLogger(__name__)

_INTEGER = re.compile(r"[+-]?[0-9]+")


def version_folders(names: Iterable[str]) -> dict[int, str]:
    """Returns the folder of each version among the children of a base path.

    A child is a version if its whole name is a 64-bit integer, leading zeros allowed; of
    several spellings the last in sort order counts.
    """
    versions = {}
    for name in sorted(names):
        if _INTEGER.fullmatch(name) and -(2**63) <= int(name) < 2**63:
            versions[int(name)] = name
    return versions


def aspired_versions(models: Sequence[Model]) -> list[dict[int, Path]] | None:
    """Reads every base path and applies the models' policies.

    Returns:
        For each model, the folder of each version that should be served; None if one of the base
        paths cannot be read, in which case TensorFlow Serving changes no model at all.
    """
    aspired = []
    for model in models:
        base = model.base_path
        try:
            children = version_folders(child.name for child in base.iterdir())
        except (
            OSError,
            ValueError,
        ):  # ValueError: not a path at all, such as one with a zero byte.
            log.error("Could not find base path %s for servable %s", base, model.name)
            return None
        versions = model.policy.aspired(children)
        for number in model.policy.versions.difference(children):
            log.warning(
                "Version %d of servable %s, which its policy names, is not in %s",
                number,
                model.name,
                base,
            )
        if not versions:
            log.warning(
                "No versions of servable %s found under base path %s. Did you forget to name "
                "your leaf directory as a number (eg. '/1/')?",
                model.name,
                base,
            )
        aspired.append({number: base / children[number] for number in versions})
    return aspired
