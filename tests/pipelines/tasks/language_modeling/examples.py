"""Tiny speeches, for tests of language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.datasets.loading import Identity
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.language_modeling.data import RunningText, running_text, tokenizer_trainer

SIZES = {"train": 60, "validation": 12, "test": 14}
_WHO = ("Ann", "Bob", "Zoë", "Mr. Stone")
_DOES = ("likes", "sees", "isn't", "has met")
_WHOM = ("the sea", "an owl", "$1,250", "Łódź", "a tree")


def speeches(sizes: Mapping[str, int] = SIZES) -> dict[str, list[str]]:
    """Sentences on three people each; the next word depends on those before."""
    made: dict[str, list[str]] = {}
    for split, size in sizes.items():
        random = np.random.default_rng(len(split))
        made[split] = []
        for _ in range(size):
            whom = int(random.integers(5))
            sentences = [
                f"{_WHO[who]} {_DOES[who]} {_WHOM[(whom + who) % 5]}."
                for who in random.permutation(4)[:3]
            ]
            made[split].append(" ".join(sentences))
    return made


def config(architecture: str = "lstm", **options: Any) -> LanguageModelingConfig:
    """A network for them that trains in a moment."""
    small: dict[str, Any] = {"units": [16], "embedding": 16, "dropout": 0.1}
    if architecture != "lstm":
        small = {"layers": 2, "heads": 2, "width": 16, "dropout": 0.1}
    defaults: dict[str, Any] = {
        "dataset": "speeches",
        "tokens": "words",
        "vocabulary": 100,
        "context": 16,
        "recipe": Recipe(epochs=1, batch_size=8, optimizer=Optimizer(learning_rate=0.01)),
        "model": small,
    }
    return LanguageModelingConfig(architecture=architecture, **{**defaults, **options})


def loaded(chosen: LanguageModelingConfig, sizes: Mapping[str, int] = SIZES) -> RunningText:
    """The data set as the task would load it."""
    identity: Identity = {"name": "speeches", "version": "1.0.0", "digest": "0123456789ab"}
    return running_text(identity, speeches(sizes), tokenizer_trainer(chosen), chosen.context)
