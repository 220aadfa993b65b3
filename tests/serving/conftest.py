"""What the tests of serving share: a model repository, and a server of it in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder NAME/1 with a SavedModel for each model of `saved_models`."""
    from tests.serving import saved_models

    base = tmp_path_factory.mktemp("repository")
    for build in (
        saved_models.half_plus_two,
        saved_models.half_plus_two_of_tensorflow_1,
        saved_models.sum_and_difference,
        saved_models.echo,
        saved_models.flatten,
        saved_models.scale,
        saved_models.count,
        saved_models.every_dtype,
        saved_models.vocabulary,
        saved_models.brightness,
    ):
        build(base / build.__name__ / "1")
    return base


@pytest.fixture(scope="session")
def address(repository: Path) -> Iterator[str]:
    """Where all models of the repository are served."""
    from serving.server.versions import Model
    from tests.serving.saved_models import serving

    models = [Model(folder.name, folder) for folder in repository.iterdir()]
    with serving(*models) as where:
        yield where
