"""The pipeline `text_classification`: its options and defaults."""

from __future__ import annotations

from pipelines.config import Pipeline
from pipelines.recipe import Optimizer, Recipe
from pipelines.text.config import TextConfig

PIPELINE = Pipeline(
    summary="Text classification",
    task="pipelines.tasks.text_classification.task:TextClassification",
    defaults=TextConfig(
        dataset="sotu_era",
        architecture="tapped_delay_line",
        model={
            "embedding": 128,
            "units": [64],
            "length": 3,
            "output": "attention",
            "dropout": 0.5,
        },
        vocabulary=12_000,
        recipe=Recipe(
            epochs=5,
            batch_size=32,
            optimizer=Optimizer(learning_rate=1e-3, average=0.997),
        ),
    ),
    distillable=True,
    recipes={"bert_glue": "pipelines.recipes.bert_glue"},
)
