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
                f"{self.architecture} does not find answers; bidaf, qanet and those of BERT's "
                "family do"
            )
        super().check()


PIPELINE = Pipeline(
    summary="Extractive question answering",
    task="pipelines.tasks.question_answering.task:QuestionAnswering",
    defaults=QuestionAnsweringConfig(
        dataset="address_questions",
        architecture="bidaf",
        vocabulary=1000,
        max_length=256,
        # Validation and test have words that training has not.
        word_dropout=0.02,
        model={"embedding": 64, "units": 48, "modeling": 1},
        recipe=Recipe(
            epochs=5,
            batch_size=64,
            optimizer=Optimizer(learning_rate=6e-3, clip_norm=1.0),
        ),
    ),
    recipes={"bert_squad": "pipelines.recipes.bert_squad"},
)
