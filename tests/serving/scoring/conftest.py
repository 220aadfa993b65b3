"""The SavedModels that are scored with."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a SavedModel for each name."""
    from tests.serving import saved_models

    base = tmp_path_factory.mktemp("saved")
    for build in (
        saved_models.half_plus_two,
        saved_models.sum_and_difference,
        saved_models.flatten,
        saved_models.brightness,
        saved_models.echo,
    ):
        build(base / build.__name__)
    return base
