"""The pipeline `image_classification`: its options and defaults."""

from __future__ import annotations

from pipelines.config import Pipeline
from pipelines.image.config import Augmentation, ImageConfig
from pipelines.recipe import Optimizer, Recipe

PIPELINE = Pipeline(
    summary="Image classification",
    task="pipelines.tasks.image_classification.task:ImageClassification",
    defaults=ImageConfig(
        dataset="digits",
        architecture="convnet",
        recipe=Recipe(
            epochs=40,
            batch_size=32,
            optimizer=Optimizer(learning_rate=2e-3),
        ),
        augmentation=Augmentation(shift=0.1, rotation=0.04, zoom=0.1),
    ),
    distillable=True,
    recipes={
        "resnet50_imagenet": "pipelines.recipes.resnet50_imagenet",
        "resnet20_cifar10": "pipelines.recipes.resnet20_cifar10",
    },
)
