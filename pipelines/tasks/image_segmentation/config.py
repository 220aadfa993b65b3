"""The pipeline `image_segmentation`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipelines.bounds import Between
from pipelines.config import Pipeline
from pipelines.image.config import ImageConfig
from pipelines.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class SegmentationConfig(ImageConfig):
    """Options of semantic segmentation."""

    class_share: Annotated[float, Between(0.0, 0.5)] = 0.001
    """Fraction of all pixels below which a value of masks without named classes is void."""


PIPELINE = Pipeline(
    summary="Semantic segmentation",
    task="pipelines.tasks.image_segmentation.task:ImageSegmentation",
    defaults=SegmentationConfig(
        dataset="brain_slices",
        architecture="unet",
        model={"filters": 8, "padding": "same", "normalize": True},
        recipe=Recipe(epochs=20, batch_size=8, optimizer=Optimizer(learning_rate=5e-3)),
    ),
    distillable=True,
)
