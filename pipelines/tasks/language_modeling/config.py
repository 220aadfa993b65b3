"""The pipeline `language_modeling`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pipelines.bounds import Between
from pipelines.config import Config, Pipeline
from pipelines.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class LanguageModelingConfig(Config):
    """Language modeling options."""

    tokens: Literal["characters", "words", "word_pieces"] = "words"
    """Unit of prediction."""
    vocabulary: Annotated[int, Between(100, 1_000_000)] = 8000
    """Vocabulary size, built from the training split."""
    context: Annotated[int, Between(2, 8192)] = 64
    """Context length in tokens."""
    text_signature: bool = True
    """Export signatures that take strings; without them, token ids need no TF-Text ops."""


PIPELINE = Pipeline(
    summary="Language modeling and generation",
    task="pipelines.tasks.language_modeling.task:LanguageModeling",
    defaults=LanguageModelingConfig(
        dataset="sotu_text",
        architecture="lstm",
        model={"embedding": 200, "units": [200], "tie_embeddings": True, "dropout": 0.15},
        recipe=Recipe(
            epochs=5,
            batch_size=16,
            optimizer=Optimizer(learning_rate=5e-3, warmup=0.05, clip_norm=1.0),
        ),
    ),
    distillable=True,
    recipes={"char_gpt_shakespeare": "pipelines.recipes.char_gpt_shakespeare"},
)
