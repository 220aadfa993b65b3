"""The pipeline `question_answering`: its options and defaults."""

from __future__ import annotations

from pipelines.config import Optimizer, Pipeline, Recipe
from pipelines.text.config import TextConfig

PIPELINE = Pipeline(
    summary="Extractive question answering",
    task="pipelines.tasks.question_answering.task:QuestionAnswering",
    defaults=TextConfig(
        dataset="sotu_cloze",
        architecture="bert_tiny",
        max_length=320,
        recipe=Recipe(
            epochs=3,
            batch_size=32,
            optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0),
        ),
    ),
)
