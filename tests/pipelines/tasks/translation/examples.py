"""Tiny pairs of texts, for tests of translation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from pipelines.datasets.loading import Identity
from pipelines.recipe import Recipe
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.tasks.translation.data import ParallelTexts, parallel, train_tokenizers

SIZES = {"train": 120, "validation": 16, "test": 24}
_WORDS = {
    "one": "uno",
    "two": "dos",
    "three": "tres",
    "red": "rojo",
    "house": "casa",
    "dog": "perro",
    "sees": "ve",
    "Zoë": "Zoë",
}
_ENGLISH = list(_WORDS)


def columns(sizes: Mapping[str, int] = SIZES) -> dict[str, dict[str, np.ndarray]]:
    """Sentences of a few words and their translations, word for word."""
    random = np.random.default_rng(0)
    found = {}
    for split, size in sizes.items():
        rows = [
            [_ENGLISH[i] for i in random.integers(0, len(_ENGLISH), random.integers(2, 5))]
            for _ in range(size)
        ]
        found[split] = {
            "source": np.array([" ".join(row) + "." for row in rows], object),
            "target": np.array(
                [f"«{' '.join(map(_WORDS.__getitem__, r))}»." for r in rows], object
            ),
        }
    return found


def config(architecture: str = "transformer_base", **options: Any) -> TranslationConfig:
    """A network for them that trains in a moment."""
    small = {"layers": 1, "heads": 2, "width": 16, "feed_forward": 16, "norm": "pre"}
    if architecture == "lstm_seq2seq":
        small = {"embedding": 16, "units": 16}
    defaults: dict[str, Any] = {
        "dataset": "sentences",
        "vocabulary": 200,
        "max_length": 24,
        "beams": 3,
        "recipe": Recipe(epochs=1, batch_size=16),
        "model": small,
    }
    return TranslationConfig(architecture=architecture, **{**defaults, **options})


def loaded(chosen: TranslationConfig, sizes: Mapping[str, int] = SIZES) -> ParallelTexts:
    """The data set as the task would load it."""
    identity: Identity = {"name": "sentences", "version": "1.0.0", "digest": "0123456789ab"}
    return parallel(identity, columns(sizes), partial(train_tokenizers, chosen), chosen.max_length)
