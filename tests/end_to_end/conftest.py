"""What the tests of the whole road share: MLflow stores of their own, and what runs train."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from sklearn.manifold import TSNE

from pipelines import evaluation
from pipelines.task import Network
from pipelines.tasks.language_modeling import figures as language_figures
from pipelines.text import figures as text_figures
from pipelines.training import trainer
from tests.pipelines.conftest import at_once, make_store, store, store_template, workplace

__all__ = ["at_once", "make_store", "store", "store_template", "workplace"]


@pytest.fixture(autouse=True)
def quick(at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process start no other one, and do briefly what no test here looks at.

    The commands of the test of image classification are processes, which do all that users' do.
    """
    monkeypatch.setattr(evaluation, "_RESAMPLES", evaluation._MIN_RESAMPLES)
    for figures in (language_figures, text_figures):
        monkeypatch.setattr(figures, "TSNE", functools.partial(TSNE, max_iter=250))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Network]:
    """The networks that runs train from now on, in their order."""
    fit = trainer.fit
    kept: list[Network] = []

    def keep(*arguments: Any) -> Network:
        kept.append(fit(*arguments))
        return kept[-1]

    monkeypatch.setattr(trainer, "fit", keep)
    return kept
