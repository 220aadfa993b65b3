"""The models of a repository, with the requests that their training pipelines recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serving.errors import UserError
from serving.rollout import golden
from serving.rollout.model_repository import Repository

_DEFAULT = "serving_default"


@dataclass(frozen=True)
class Recorded:
    """A version of a model, with a request to its default signature.

    Attributes:
        name: Served name.
        version: Folder of the SavedModel.
        inputs: The request's inputs by name.
    """

    name: str
    version: Path
    inputs: Mapping[str, np.ndarray]

    def path(self, base: Path) -> Path:
        """Returns the SavedModel's folder, to which a link in `base` leads."""
        link = base / self.name / "1"
        if not link.exists():
            link.parent.mkdir()
            link.symlink_to(self.version.resolve())
        return link

    def feeds(self, batch: int) -> dict[str, np.ndarray]:
        """Returns a request's inputs: the recorded examples, repeated up to the batch."""
        return {
            name: np.concatenate([array] * -(-batch // len(array)))[:batch]
            for name, array in self.inputs.items()
        }


def models(repository: Path) -> list[Recorded]:
    """Returns the latest version of each model that has recorded requests.

    Raises:
        UserError: There is none.
    """
    found = []
    places = Repository(repository)
    for name in places.models() if repository.is_dir() else []:
        version = places.version(name, max(places.versions(name)))
        requests = [each for each in golden.read(version) if each.signature == _DEFAULT]
        if requests:
            found.append(Recorded(name, version, requests[0].inputs))
    if not found:
        raise UserError(f"no model in {repository} has recorded requests to {_DEFAULT}")
    return found
