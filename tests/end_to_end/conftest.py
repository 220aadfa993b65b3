"""What the tests of the whole road share: MLflow stores of their own, and what runs train."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines import training
from pipelines.task import Network
from tests.pipelines.conftest import at_once, store, store_template, workplace

__all__ = ["at_once", "store", "store_template", "workplace"]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Network]:
    """The networks that runs train from now on, in their order."""
    fit = training.fit
    kept: list[Network] = []

    def keep(*arguments: Any) -> Network:
        kept.append(fit(*arguments))
        return kept[-1]

    monkeypatch.setattr(training, "fit", keep)
    return kept
