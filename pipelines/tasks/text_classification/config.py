"""The pipeline `text_classification`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.config import Pipeline
from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe
from pipelines.text.config import TextConfig, is_encoder


@dataclass(frozen=True)
class TextClassificationConfig(TextConfig):
    """Text classification options."""

    tokens: Literal["auto", "words", "characters"] = "auto"
    """What a network without an encoder reads; auto: characters of single words, else words."""

    def check(self) -> None:
        """Raises `UserError` if words or characters are chosen for an encoder."""
        super().check()
        if self.tokens != "auto" and is_encoder(self.architecture):
            raise UserError(
                f"--tokens {self.tokens} is for networks without an encoder; {self.architecture} "
                "reads WordPieces"
            )


PIPELINE = Pipeline(
    summary="Text classification",
    task="pipelines.tasks.text_classification.task:TextClassification",
    defaults=TextClassificationConfig(
        dataset="cmudict_syllables",
        architecture="bigru",
        model={"embedding": 32, "units": [96], "output": "last", "dropout": 0.2},
        vocabulary=12_000,
        recipe=Recipe(
            epochs=10,
            batch_size=64,
            optimizer=Optimizer(learning_rate=5e-3, average=0.99),
        ),
    ),
    distillable=True,
    recipes={"bert_glue": "pipelines.recipes.bert_glue"},
)
