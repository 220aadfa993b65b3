"""The pipeline `token_classification`: its options and defaults."""

from __future__ import annotations

from pipelines.config import Pipeline
from pipelines.recipe import Optimizer, Recipe
from pipelines.text.config import TextConfig

PIPELINE = Pipeline(
    summary="Token classification (NER)",
    task="pipelines.tasks.token_classification.task:TokenClassification",
    defaults=TextConfig(
        dataset="us_addresses",
        architecture="bilstm",
        vocabulary=1000,
        model={"units": [96], "dropout": 0.3},
        recipe=Recipe(
            epochs=20,
            batch_size=16,
            optimizer=Optimizer(learning_rate=5e-3, clip_norm=1.0),
        ),
    ),
    distillable=True,
)
