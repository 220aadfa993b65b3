"""The pipeline `question_answering`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.config import Pipeline
from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe
from pipelines.text.config import TextConfig, is_encoder, is_reader


@dataclass(frozen=True)
class QuestionAnsweringConfig(TextConfig):
    """Question answering options."""

    has_classes = False

    def check(self) -> None:
        """Raises `UserError` for a network that is neither a reader nor an encoder."""
        if not is_reader(self.architecture) and not is_encoder(self.architecture):
            raise UserError(
                f"{self.architecture} does not find answers; qanet and those of BERT's family do"
            )
        super().check()


PIPELINE = Pipeline(
    summary="Extractive question answering",
    task="pipelines.tasks.question_answering.task:QuestionAnswering",
    defaults=QuestionAnsweringConfig(
        dataset="sotu_cloze",
        architecture="bert_tiny",
        max_length=320,
        recipe=Recipe(
            epochs=3,
            batch_size=32,
            optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0),
        ),
    ),
    recipes={"bert_squad": "pipelines.recipes.bert_squad"},
)
