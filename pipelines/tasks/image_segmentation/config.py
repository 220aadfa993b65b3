"""The pipeline `image_segmentation`: its options and defaults."""

from __future__ import annotations

from pipelines.config import Optimizer, Pipeline, Recipe
from pipelines.image.config import ImageConfig

PIPELINE = Pipeline(
    summary="Semantic segmentation",
    task="pipelines.tasks.image_segmentation.task:ImageSegmentation",
    defaults=ImageConfig(
        dataset="brain_slices",
        architecture="unet",
        model={"filters": 8, "padding": "same", "normalize": True},
        recipe=Recipe(epochs=20, batch_size=8, optimizer=Optimizer(learning_rate=5e-3)),
    ),
    distillable=True,
)
