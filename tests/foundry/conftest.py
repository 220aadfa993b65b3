"""Fixtures of the tests of `foundry`: no store but the one that a test names."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow writes the store that it was pointed at into the environment of the process."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
