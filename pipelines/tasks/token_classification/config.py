"""The pipeline `token_classification`: its options and defaults."""

from __future__ import annotations

from pipelines.config import Pipeline
from pipelines.recipe import Optimizer, Recipe
from pipelines.text.config import TextConfig

PIPELINE = Pipeline(
    summary="Token classification",
    task="pipelines.tasks.token_classification.task:TokenClassification",
    defaults=TextConfig(
        dataset="cmudict_stress",
        architecture="bilstm",
        vocabulary=200,
        model={"units": [128, 128], "dropout": 0.4},
        recipe=Recipe(
            epochs=8,
            batch_size=128,
            optimizer=Optimizer(learning_rate=5e-3, clip_norm=1.0),
        ),
    ),
    distillable=True,
)
