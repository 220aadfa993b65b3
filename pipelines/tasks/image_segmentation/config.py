"""The pipeline `image_segmentation`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pipelines.bounds import Between
from pipelines.config import Pipeline
from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class SegmentationConfig(ImageConfig):
    """Options of semantic segmentation."""

    class_share: Annotated[float, Between(0.0, 0.5)] = 0.001
    """Fraction of all pixels below which a value of masks without named classes is void."""
    loss: Literal["cross_entropy", "focal", "dice", "cross_entropy+dice"] = "cross_entropy"
    """Loss: focal (Lin et al. 2017) favors pixels in doubt, dice (Milletari 2016) rare classes."""

    def check(self) -> None:
        """Raises `UserError` for choices that are not for masks or for the loss."""
        super().check()
        if self.augmentation.mix_up:
            raise UserError(
                "--augmentation.mix_up is for classification: a pixel has one class; "
                "--augmentation.cut_mix works with masks"
            )
        for option in ("label_smoothing", "class_weights"):
            if self.loss == "dice" and getattr(self.recipe, option):
                raise UserError(f"--{option} is for the other losses, not for --loss dice alone")


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
    recipes={"unet_pets": "pipelines.recipes.unet_pets"},
)
