"""The pipeline `language_modeling`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import architectures
from pipelines.bounds import Between
from pipelines.config import Config, Pipeline
from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe
from pipelines.text.config import checked_folder

_BYTE_PAIRS = 257


@dataclass(frozen=True)
class LanguageModelingConfig(Config):
    """Language modeling options."""

    tokens: Literal["characters", "words", "word_pieces", "byte_pairs"] = "words"
    """Unit of prediction; with --weights the checkpoint's byte pairs."""
    vocabulary: Annotated[int, Between(100, 1_000_000)] = 5000
    """Vocabulary size, built from the training split; with --weights the checkpoint's."""
    weights: str = ""
    """Pre-trained GPT-2: a Hugging Face directory, or runs:/… or models:/… of your own run."""
    context: Annotated[int, Between(2, 8192)] = 64
    """Context length in tokens."""
    text_signature: bool = True
    """Export signatures that take strings; without them, token ids need no TF-Text ops."""

    def __post_init__(self) -> None:
        # What follows from the weights is a parameter of the run like what is chosen.
        if self.weights and self.tokens == "words":
            object.__setattr__(self, "tokens", "byte_pairs")

    def check(self) -> None:
        """Raises `UserError` for tokens that weights or a vocabulary do not go with."""
        if self.weights and self.tokens != "byte_pairs":
            raise UserError(
                f"--weights have byte pairs of their own, and --tokens cannot be {self.tokens}"
            )
        if self.weights and architectures.get(self.architecture).kind != "decoder":
            raise UserError(f"--weights needs a decoder, as gpt2_small, not {self.architecture}")
        if self.tokens == "byte_pairs" and not self.weights and self.vocabulary < _BYTE_PAIRS:
            raise UserError(
                f"--vocabulary must be at least {_BYTE_PAIRS} with byte pairs (256 bytes and the "
                f"end of a document), not {self.vocabulary}"
            )

    def check_paths(self) -> None:
        """Raises `UserError` if weights are to be in a directory where there are none."""
        if self.weights and not self.weights.startswith(("runs:/", "models:/")):
            checked_folder(self.weights, "--weights")


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
